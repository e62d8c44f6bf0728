"""The operator's node with what a joystick's driver publishes."""

import subprocess
import sys
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from operator_cell import FORWARD, PERIOD_NS, REST, WAIT_S, is_estop, is_lost, moves, rests
from sensor_msgs.msg import Joy

from apo_core.ros.conversions import to_ns
from apo_interfaces.msg import OperatorCommand


def test_a_joystick_drives_with_the_stamps_of_its_messages(joy_cell, start):
    start(device="joy")
    joy_cell.rest_joy()
    before = joy_cell.node.get_clock().now().nanoseconds
    moving = joy_cell.until_joy(FORWARD, moves, "motion")
    assert moving.device == "joy"
    np.testing.assert_allclose(moving.values, [0.4, 0, 0, 0, 0, 0, 0], rtol=1e-5)
    assert before < to_ns(moving.header.stamp) < joy_cell.node.get_clock().now().nanoseconds
    joy_cell.until_joy(REST, rests, "rest")
    joy_cell.publish_joy(REST, [0, 1])
    joy_cell.until_sample(is_estop, "the emergency stop button")
    values = joy_cell.until_diagnosed(lambda: joy_cell.publish_joy(REST), DiagnosticStatus.OK, "connected")
    assert values == {"device": "joystick (gamepad)", "connected": "true", "problem": "", "enabled": "true"}


def test_a_joystick_that_was_deflected_from_the_start_must_rest_first(joy_cell, start):
    process = start(device="joy")
    seen = len(joy_cell.samples)
    joy_cell.until_joy(FORWARD, lambda sample: sample.connected, "the joystick")
    joy_cell.until_joy(FORWARD, lambda sample: len(joy_cell.samples) > seen + 20, "heartbeats")
    assert not any(sample.active for sample in joy_cell.samples)
    joy_cell.rest_joy()
    joy_cell.until_joy(FORWARD, moves, "motion")
    process.terminate()
    assert "let go of it once" in process.communicate()[0]


def test_zeros_of_spacenav_stop_the_motion_and_keep_the_control(cell, start):
    cell.joy = cell.node.create_publisher(Joy, "spacenav/joy", 10)
    start(device="joy", joy_preset="spacenav", joy_presets="['spacenav: spacenav/joy 6 0.3']")
    cell.rest_joy()
    cell.until_joy([1, 0, 0, 0, 0, 0], moves, "motion")
    still = cell.until_joy(REST, lambda sample: not any(sample.values), "a stop")
    assert still.connected and still.active
    cell.until_joy([1, 0, 0, 0, 0, 0], moves, "motion goes on")
    cell.until_joy(REST, rests, "rest after zeros that last")


_PUBLISHER = """
import sys, time, rclpy
from sensor_msgs.msg import Joy
rclpy.init()
node = rclpy.create_node("pad")
publisher = node.create_publisher(Joy, "joy", 10)
for line in sys.stdin:
    pass
started = time.monotonic()
while True:
    forward = float(time.monotonic() - started > 1.0)
    message = Joy(axes=[0.0, forward, 0.0, 0.0, 0.0, 0.0], buttons=[0, 0])
    message.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(message)
    time.sleep(0.02)
"""


def test_a_joystick_publisher_killed_while_deflected_is_a_lost_device(cell, start, processes):
    pad = subprocess.Popen([sys.executable, "-c", _PUBLISHER], stdin=subprocess.PIPE, text=True)
    processes.append(pad)
    start(device="joy", joy_stale_s=1.0)
    cell.spin_until(lambda: cell.node.count_publishers("joy") == 1, "the joystick's publisher")
    pad.stdin.close()
    pad.stdin = None
    cell.until_sample(moves, "motion")
    pad.kill()
    pad.wait()
    cell.until_sample(is_lost, "the loss of the joystick")


def test_a_second_publisher_of_the_joystick_topic_ends_the_control(joy_cell, start):
    process = start(device="joy")
    joy_cell.rest_joy()
    joy_cell.until_joy(FORWARD, moves, "motion")
    second = joy_cell.node.create_publisher(Joy, "joy", 10)
    joy_cell.until_joy(FORWARD, is_lost, "the loss")
    joy_cell.node.destroy_publisher(second)
    joy_cell.until_joy(FORWARD, lambda sample: sample.connected and not sample.active, "the return")
    process.terminate()
    assert "2 publishers on joy" in process.communicate()[0]


@pytest.mark.parametrize(
    ("axes", "ahead_s", "reason"),
    [
        (FORWARD, 2.0, "s ahead"),
        (FORWARD, -8.0, "s old"),
        ([float("nan")] * 6, 0.0, "not finite"),
        ([1], 0.0, "1 axes"),
    ],
)
def test_wrong_messages_of_a_joystick_are_rejected_with_a_reason(joy_cell, start, axes, ahead_s, reason):
    process = start(device="joy")
    joy_cell.until_joy(REST, rests, "a resting joystick")
    joy_cell.until_joy(axes, is_lost, "the rejection", ahead_s=ahead_s)
    assert not any(sample.active for sample in joy_cell.samples)
    process.terminate()
    assert reason in process.communicate()[0]


def test_a_joystick_in_lockstep_answers_every_tick(joy_cell, start):
    start(joy_cell.pose, device="joy", lockstep=True)
    samples = []

    def tick(axes) -> OperatorCommand:
        seen = len(joy_cell.samples)
        number = len(samples) + 1
        joy_cell.publish_joy(axes)
        joy_cell.send_pose(number)
        joy_cell.spin_until(lambda: len(joy_cell.samples) > seen, f"the answer to tick {number}")
        samples.append(joy_cell.samples[-1])
        assert to_ns(samples[-1].header.stamp) == number * PERIOD_NS
        return samples[-1]

    end = time.monotonic() + WAIT_S
    while not tick(REST).connected or len(samples) < 300:
        assert time.monotonic() < end
    while not moves(tick(FORWARD)):
        assert time.monotonic() < end
    while tick(REST).active:
        assert time.monotonic() < end
    assert len(joy_cell.samples) == len(samples)
