"""A ROS domain of its own for each test process, on loopback only."""

import itertools
import os

import pytest

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
rclpy = pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")


# processes that test at the same time begin at different ids
_DOMAINS = itertools.count(os.getpid() * 31)


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> int:
    """A domain id that no other test of this run used before it had a hundred; child processes inherit it."""
    domain = 1 + next(_DOMAINS) % 100
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    return domain


@pytest.fixture
def ros(ros_domain: int):
    """An initialised context in that domain."""
    rclpy.init(domain_id=ros_domain)
    yield ros_domain
    rclpy.try_shutdown()
