"""A ROS domain of its own for each test process, on loopback only."""

import os

import pytest

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
rclpy = pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    """A domain id that no other test of this run uses; child processes inherit it."""
    domain = 1 + (os.getpid() * 31 + hash(request.node.nodeid)) % 100
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    return domain


@pytest.fixture
def ros(ros_domain: int):
    """An initialised context in that domain."""
    rclpy.init(domain_id=ros_domain)
    yield ros_domain
    rclpy.try_shutdown()
