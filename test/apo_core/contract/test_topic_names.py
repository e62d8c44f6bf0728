"""What a ROS topic may be called, as rclpy has it."""

import pytest

from apo_core.contract.topic_names import topic_fault

validation = pytest.importorskip("rclpy.validate_topic_name", reason="rclpy is missing: run 'make setup'")


@pytest.mark.parametrize(
    "name",
    [
        *("joy", "/servo_node/delta_twist_cmds", "~/commands", "_hidden/x9", "a/B/c"),
        *("", "/", "a b", "a-b", "9a", "a/9", "a/", "/a/", "a~", "é", "a.b", "a\n"),
    ],
)
def test_a_name_counts_if_rclpy_takes_it(name):
    from rclpy.exceptions import InvalidTopicNameException

    try:
        validation.validate_topic_name(name)
    except InvalidTopicNameException:
        assert topic_fault(name)
    else:
        assert topic_fault(name) == ""
