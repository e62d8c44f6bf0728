"""What the diagnostics show of all that may be wrong."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from apo_core.ros.diagnostics import ERROR, OK, WARN
from apo_policy_node.ros.health import WANTS_HELP, PolicyHealth


def server(**changes) -> SimpleNamespace:
    plain = {"fault": "", "store_fault": "", "help_wanted": False, "adapter_warning": ""}
    return SimpleNamespace(**{**plain, **changes})


@pytest.mark.parametrize(
    ("health", "of_server", "shown"),
    [
        (("", "", ""), {}, (OK, "serves")),
        (("", "", ""), {"adapter_warning": "old"}, (WARN, "old")),
        (("", "", ""), {"adapter_warning": "old", "help_wanted": True}, (WARN, WANTS_HELP)),
        (("", "", ""), {"help_wanted": True, "store_fault": "unreadable"}, (WARN, "unreadable")),
        (("", "", ""), {"store_fault": "unreadable", "fault": "not finite"}, (WARN, "not finite")),
        (("", "", "frozen"), {"fault": "not finite"}, (WARN, "not finite")),
        (("", "", "frozen"), {"store_fault": "unreadable"}, (WARN, "frozen")),
        (("", "no image", "frozen"), {}, (WARN, "no image")),
        (("two nodes", "no image", ""), {}, (ERROR, "two nodes")),
    ],
)
def test_what_keeps_the_policy_from_acting_comes_first(health, of_server, shown):
    assert PolicyHealth(*health).shown(server(**of_server)) == shown


def test_the_log_has_a_line_for_each():
    health = PolicyHealth("two nodes", "no image", "frozen")
    assert (health.errors, health.warnings) == (["two nodes"], ["no observation: no image", "frozen"])
    assert PolicyHealth("", "", "").errors == PolicyHealth("", "", "").warnings == []
