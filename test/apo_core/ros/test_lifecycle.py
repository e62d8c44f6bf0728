"""The hooks of a lifecycle node: what runs in which transition, and what a node that ends has done last."""

import pytest

rclpy = pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402

from apo_core.errors import ConfigError  # noqa: E402
from apo_core.ros.lifecycle import LifecycleBase  # noqa: E402


class Recorded(LifecycleBase):
    """Notes its hooks, and whether it was active in them."""

    def __init__(self):
        super().__init__("recorded")
        self.calls: list[tuple[str, bool]] = []
        self.faulty = ""

    def _note(self, name: str) -> None:
        self.calls.append((name, self.is_active))
        if name == self.faulty:
            raise ConfigError("config/recorded.yaml", ["x = 1 must be 2"])

    def configure(self) -> None:
        self._note("configure")

    def activate(self) -> None:
        self._note("activate")

    def deactivate(self) -> None:
        self._note("deactivate")

    def cleanup(self) -> None:
        self._note("cleanup")


@pytest.fixture
def node(next_domain):
    rclpy.init(domain_id=next_domain())
    made = Recorded()
    yield made
    made.destroy_node()
    rclpy.try_shutdown()


def test_work_is_over_before_the_last_command(node):
    node.trigger_configure()
    node.trigger_activate()
    assert node.is_active
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert node.calls == [("configure", False), ("activate", False), ("deactivate", False), ("cleanup", False)]


def test_shutdown_of_an_active_node_stops_it_first(node):
    node.trigger_configure()
    node.trigger_activate()
    node.trigger_shutdown()
    assert [name for name, _ in node.calls] == ["configure", "activate", "deactivate", "cleanup"]
    assert not node.is_active


def test_shutdown_of_a_node_that_was_never_configured_runs_no_hook(node):
    node.trigger_shutdown()
    assert node.calls == []


def test_a_rejected_transition_leaves_the_node_as_it_was(node):
    node.faulty = "activate"
    node.trigger_configure()
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert not node.is_active
    node.faulty = ""
    node.trigger_activate()
    assert node.is_active
