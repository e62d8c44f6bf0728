"""The message for /diagnostics."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from apo_core.ros.conversions import to_ns, to_stamp
from apo_core.ros.diagnostics import OK, WARN, diagnostic_array, diagnostic_status


def test_a_status_has_the_nodes_full_name_and_every_value():
    now = SimpleNamespace(to_msg=lambda: to_stamp(7_000_000_001))
    clock = SimpleNamespace(now=lambda: now)
    node = SimpleNamespace(get_fully_qualified_name=lambda: "/cell/arbiter", get_clock=lambda: clock)
    array = diagnostic_array(node, WARN, "not connected", {"device": "joy", "enabled": "true"})
    (status,) = array.status
    assert (status.level, status.name, status.hardware_id, status.message) == (
        WARN,
        "cell/arbiter",
        "cell/arbiter",
        "not connected",
    )
    assert {pair.key: pair.value for pair in status.values} == {"device": "joy", "enabled": "true"}
    assert to_ns(array.header.stamp) == 7_000_000_001


def test_a_part_of_a_node_is_named_behind_it():
    node = SimpleNamespace(get_fully_qualified_name=lambda: "/cell/recorder")
    status = diagnostic_status(node, OK, "3 uploaded", {}, "upload")
    assert (status.name, status.hardware_id, status.message) == ("cell/recorder: upload", "cell/recorder", "3 uploaded")
