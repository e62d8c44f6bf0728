"""What keeps the robot's measurements from the arbiter, with a clock and publishers of the test."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from apo_core.ros.qos import sensors
from apo_teleop.ros import input_watch
from apo_teleop.ros.input_watch import Arrival, InputWatch, MeasuredStream

S = 1_000_000_000
STREAMS = {
    "ee_pose": MeasuredStream("ee_pose", "geometry_msgs/msg/PoseStamped"),
    "feedback": MeasuredStream("ee_twist", "geometry_msgs/msg/TwistStamped"),
}

CURE = ": start its driver, or correct its topic (config/contract.yaml)"


class Robot:
    """A node whose two streams arrive once a second, stamped `off_ns` away from the ROS clock."""

    def __init__(self, lockstep=False):
        self.ros_ns, self.steady_ns, self.rate = 10_000 * S, 50 * S, 1.0
        self.publishers, self.silent, self.off_ns = {}, set(), {"ee_pose": 0, "feedback": 0}
        self.arrivals = {}
        node = SimpleNamespace(
            get_name=lambda: "arbiter",
            get_clock=lambda: SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=self.ros_ns)),
            get_publishers_info_by_topic=lambda topic: self.publishers.get(topic, []),
        )
        self.watch = InputWatch(node, STREAMS, sensors("reliable"), lockstep)

    def run(self, seconds):
        """The faults after so many looks, one a second."""
        faults = []
        for _ in range(seconds):
            self.steady_ns += S
            self.ros_ns += round(self.rate * S)
            for name in STREAMS.keys() - self.silent:
                # arrived some time before the look
                self.arrivals[name] = Arrival(self.ros_ns - S // 3 + self.off_ns[name], self.steady_ns - S // 3)
            faults = self.watch.faults(self.arrivals)
        return faults


@pytest.fixture
def robot_of(monkeypatch):
    """(lockstep) -> a robot whose time is the steady time of the watch."""

    def make(**settings):
        made = []
        steady = SimpleNamespace(monotonic_ns=lambda: made[0].steady_ns if made else 50 * S)
        monkeypatch.setattr(input_watch, "time", steady)
        made.append(Robot(**settings))
        return made[0]

    return make


def test_streams_of_now_have_no_fault(robot_of):
    assert robot_of().run(20) == []


def test_a_topic_without_messages_is_named_with_its_publishers(robot_of):
    robot = robot_of()
    robot.silent = {"feedback"}
    assert robot.run(3) == []
    assert robot.run(1) == [f"topic ee_twist ('feedback'): no message for 3 s; nobody publishes it{CURE}"]
    qos = sensors("best_effort")
    robot.publishers["ee_twist"] = [SimpleNamespace(topic_type="geometry_msgs/msg/TwistStamped", qos_profile=qos)]
    assert robot.run(1) == [
        "topic ee_twist ('feedback'): no message for 4 s; its publisher is best_effort: set sensor_reliability to "
        "best_effort (config/arbiter.yaml)"
    ]
    robot.publishers["ee_twist"] = [SimpleNamespace(topic_type="std_msgs/msg/Bool", qos_profile=sensors("reliable"))]
    assert robot.run(1) == [
        "topic ee_twist ('feedback'): no message for 5 s; it is published as std_msgs/msg/Bool, the contract has "
        "geometry_msgs/msg/TwistStamped (config/contract.yaml)"
    ]
    robot.silent = set()
    assert robot.run(1) == []


def test_what_comes_in_place_of_a_stream_is_named(robot_of):
    robot = robot_of()
    robot.silent = {"feedback"}
    robot.publishers["ee_twist"] = [
        SimpleNamespace(topic_type="geometry_msgs/msg/TwistStamped", qos_profile=sensors("reliable"))
    ]
    assert robot.run(4) == ["topic ee_twist ('feedback'): no message for 3 s"]
    (line,) = robot.watch.faults(robot.arrivals, {"feedback": "others come", "ee_pose": "unused"})
    assert line == "topic ee_twist ('feedback'): no message for 3 s; others come"


def test_a_topic_that_ends_is_named(robot_of):
    robot = robot_of()
    assert robot.run(5) == []
    robot.silent = {"ee_pose"}
    assert robot.run(2) == []
    assert robot.run(2) == [f"topic ee_pose ('ee_pose'): no message for 4 s; nobody publishes it{CURE}"]


@pytest.mark.parametrize(("off_s", "where"), [(-3600, "3600.0 s behind"), (6, "5.7 s ahead of")])
def test_stamps_of_another_clock_are_named(robot_of, off_s, where):
    robot = robot_of()
    robot.off_ns["ee_pose"] = off_s * S
    (line,) = robot.run(4)
    assert line == (
        f"topic ee_pose ('ee_pose'): its stamps are {where} the ROS clock: synchronise the clocks of both machines"
    )


def test_stamps_of_zero_are_named(robot_of):
    robot = robot_of()
    robot.off_ns["ee_pose"] = -(10**18)
    (line,) = robot.run(4)
    assert line == "topic ee_pose ('ee_pose'): its stamps are 0: the driver must set header.stamp"


def test_slow_and_paused_simulated_time_is_no_fault(robot_of):
    robot = robot_of()
    for robot.rate in (0.1, 0.0, 1.0):
        assert robot.run(10) == []
    robot.silent, robot.rate = set(STREAMS), 0.0
    assert robot.run(60) == []


def test_a_clock_that_is_set_begins_anew(robot_of):
    robot = robot_of()
    assert robot.run(5) == []
    robot.ros_ns -= 500 * S
    assert robot.run(5) == []
    robot.ros_ns += 500 * S
    assert robot.run(5) == []


def test_simulated_time_that_never_begins_is_named(robot_of):
    robot = robot_of()
    robot.ros_ns, robot.rate, robot.silent = 0, 0.0, set(STREAMS)
    assert robot.run(2) == []
    assert robot.run(1) == ["topic /clock: no message, and use_sim_time is true"]


def test_stamps_of_lockstep_need_not_follow_the_clock(robot_of):
    robot = robot_of(lockstep=True)
    robot.off_ns = {"ee_pose": -900 * S, "feedback": -900 * S}
    assert robot.run(10) == []
    robot.silent = {"ee_pose"}
    (line,) = robot.run(4)
    assert line == f"topic ee_pose ('ee_pose'): no message for 4 s; nobody publishes it{CURE}"


def test_only_a_topic_that_was_sound_before_is_a_new_fault(robot_of):
    robot = robot_of()
    robot.silent = {"feedback"}
    first = robot.run(4)
    assert robot.watch.begun(first) == first and len(first) == 1
    assert robot.watch.begun(robot.run(1)) == []
    robot.silent = set()
    assert robot.watch.begun(robot.run(1)) == []
    robot.silent = {"feedback"}
    again = robot.run(4)
    assert robot.watch.begun(again) == again
