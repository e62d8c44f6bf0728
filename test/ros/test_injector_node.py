"""The injector of `apo chaos` as a process: what it sends in place of the stack can be distinguished from it."""

import json
import subprocess
import sys
import time

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile

from apo_core.ros.qos import COMMANDS
from apo_interfaces.msg import ActionCommand

WAIT_S = 60.0
EVERY = QoSProfile(depth=10_000)


@pytest.fixture
def injector(ros):
    process = subprocess.Popen(
        [sys.executable, "-m", "apo_bringup.chaos.injector_node"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.stdin.close()
    process.wait(timeout=WAIT_S)
    process.stdout.close()


@pytest.mark.parametrize("style", ["raw", "mutated", "extreme"])
def test_every_command_of_a_fault_names_the_fault(injector, style):
    node, executor = rclpy.create_node("observer"), SingleThreadedExecutor()
    executor.add_node(node)
    received: list[ActionCommand] = []
    publisher = node.create_publisher(ActionCommand, "command", COMMANDS)
    node.create_subscription(ActionCommand, "command", received.append, EVERY)

    def until(condition, what):
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, f"no {what}"
            executor.spin_once(timeout_sec=0.05)

    until(lambda: publisher.get_subscription_count() == 2, "injector")  # this node's own is the other
    publisher.publish(ActionCommand(values=[0.1] * 7, source="POLICY", reason="policy_in_control"))
    until(lambda: received, "command of the test's own")
    received.clear()
    request = {"do": "begin", "seed": 1, "topic": "command", "style": style, "duration_s": WAIT_S}
    injector.stdin.write(json.dumps(request) + "\n")
    injector.stdin.flush()
    # of mangled messages a quarter are still commands; the reason is damaged in one of ten or so of these
    until(lambda: len(received) >= 50, "commands of the fault")
    assert {message.reason for message in received} == {"chaos"}
    node.destroy_node()
