"""A ROS domain of its own for each test process, on loopback only."""

import time
from collections.abc import Callable

import pytest

rclpy = pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from arbiter_cell import cell, start_arbiter, write_contract  # noqa: E402, F401
from rcl_interfaces.srv import GetParameters  # noqa: E402
from rclpy.node import Node  # noqa: E402

_ASK_AGAIN_S = 2.0


@pytest.fixture
def ros_domain(next_domain: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> int:
    """A domain id of this test's own; child processes inherit it."""
    domain = next_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    return domain


@pytest.fixture
def ros(ros_domain: int):
    """An initialised context in that domain."""
    rclpy.init(domain_id=ros_domain)
    yield ros_domain
    rclpy.try_shutdown()


@pytest.fixture(scope="session")
def meet() -> Callable[..., None]:
    """(node, name, until) -> waits until the node `name` spins and knows every endpoint that `node` has by now.

    DDS announces the endpoints of a participant in order: who answers through the last one knows those before it.
    `until(condition, what)` spins `node`.
    """

    def wait(node: Node, name: str, until: Callable[[Callable[[], object], str], None]) -> None:
        client = node.create_client(GetParameters, f"{name}/get_parameters")
        until(client.service_is_ready, f"the services of {name}")
        futures, asked = [], 0.0

        def answered() -> bool:
            nonlocal asked
            # an answer to a client that the server has not discovered yet is lost
            if time.monotonic() - asked > _ASK_AGAIN_S:
                futures.append(client.call_async(GetParameters.Request()))
                asked = time.monotonic()
            return any(future.done() for future in futures)

        until(answered, f"an answer of {name}")
        node.destroy_client(client)

    return wait
