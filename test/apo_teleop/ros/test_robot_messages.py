import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from apo_core.ros.conversions import to_ns
from apo_teleop.ros.robot_messages import stamp_of

OBSERVED, NOW = 3_000_000_001, 5_000_000_002


@pytest.mark.parametrize("kind", ["twist", "pose", "joint_trajectory"])
def test_a_command_may_have_the_stamp_of_its_observation(kind):
    assert to_ns(stamp_of("observation", kind, OBSERVED, NOW)) == OBSERVED


@pytest.mark.parametrize(("kind", "stamp"), [("twist", NOW), ("pose", NOW), ("joint_trajectory", 0)])
def test_a_trajectory_that_starts_now_has_the_stamp_zero(kind, stamp):
    assert to_ns(stamp_of("now", kind, OBSERVED, NOW)) == stamp
