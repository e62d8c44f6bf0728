import time
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from sensor_msgs.msg import JointState

from apo_core.contract.specs import StateSpec
from apo_core.ros.conversions import to_ns
from apo_core.ros.qos import sensors
from apo_teleop.ros.robot_messages import RobotStateSubscriber, measured_ns, stamp_of

OBSERVED, NOW = 3_000_000_001, 5_000_000_002


@pytest.mark.parametrize("kind", ["twist", "pose", "joint_trajectory"])
def test_a_command_may_have_the_stamp_of_its_observation(kind):
    assert to_ns(stamp_of("observation", kind, OBSERVED, NOW)) == OBSERVED


@pytest.mark.parametrize(("kind", "stamp"), [("twist", NOW), ("pose", NOW), ("joint_trajectory", 0)])
def test_a_trajectory_that_starts_now_has_the_stamp_zero(kind, stamp):
    assert to_ns(stamp_of("now", kind, OBSERVED, NOW)) == stamp


@pytest.fixture
def node():
    """A node whose ROS time is NOW."""
    now = SimpleNamespace(nanoseconds=NOW)
    return SimpleNamespace(get_clock=lambda: SimpleNamespace(now=lambda: now))


def test_an_old_measurement_that_is_repeated_stays_old(node):
    before = time.monotonic_ns()
    assert 0 <= measured_ns(node, OBSERVED, lockstep=False) - (before - (NOW - OBSERVED)) < 1_000_000_000


def test_a_stamp_ahead_counts_as_now(node):
    before = time.monotonic_ns()
    assert 0 <= measured_ns(node, NOW + 10**12, lockstep=False) - before < 1_000_000_000


def test_in_lockstep_the_stamp_is_the_time(node):
    assert measured_ns(node, OBSERVED, lockstep=True) == OBSERVED


def test_joint_states_of_another_part_are_kept_for_people(node):
    callbacks, joints = {}, []
    node.create_subscription = lambda kind, topic, callback, qos: callbacks.setdefault(topic, callback)
    spec = StateSpec("joint_position", "joints", "sensor_msgs/msg/JointState", 2, "rad", "position", ("a", "b"))
    output = SimpleNamespace(on_joints=lambda values, fault, taken_ns: joints.append((values.tolist(), fault)))
    state = RobotStateSubscriber(node, spec, sensors("reliable"), output, "", lockstep=True)
    callbacks["joints"](JointState(name=["c", "d"], position=[1.0, 2.0]))
    assert (state.arrival, joints) == (None, [])
    assert state.others == "a message of the topic has the joints c, d, the contract has a, b"
    callbacks["joints"](JointState(name=["b", "a"], position=[1.0, 2.0]))
    assert state.arrival is not None and joints == [([2.0, 1.0], "")]
