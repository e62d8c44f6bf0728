"""A browser as the operator's device, over DDS."""

import pytest
from operator_cell import is_estop, is_lost, moves, rests

from apo_core.ros.qos import COMMANDS
from apo_interfaces.msg import DeviceSample

FORWARD = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]


class Browser:
    """What the console publishes for a page."""

    def __init__(self, cell):
        self._cell = cell
        self._samples = cell.node.create_publisher(DeviceSample, "operator/device", COMMANDS)

    def send(self, axes=(0.0,) * 6, connected=True, events=(), late_ns=0):
        message = DeviceSample(holder="Ada", connected=connected, axes=list(axes), events=list(events))
        stamp_ns = self._cell.node.get_clock().now().nanoseconds - late_ns
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
        self._samples.publish(message)

    def until(self, condition, what, **sample):
        seen = len(self._cell.samples)
        self._cell.repeat_until(
            lambda: self.send(**sample), lambda: any(map(condition, self._cell.samples[seen:])), what
        )

    def rests(self):
        self._cell.until_ready_to_move(self.send)


@pytest.fixture
def browser(cell, start):
    made = Browser(cell)
    # on a slow machine messages may pause
    start(made._samples, device="browser", remote_stale_s=5.0, remote_rest_stale_s=5.0)
    return made


def test_a_browser_moves_the_robot_and_lets_go(cell, browser):
    browser.until(rests, "a connected browser")
    browser.rests()
    browser.until(moves, "motion", axes=FORWARD)
    assert cell.samples[-1].device == "browser"
    browser.send(connected=False)
    cell.spin_until(lambda: is_lost(cell.samples[-1]), "the loss")


def test_an_old_sample_is_a_loss(cell, browser):
    browser.until(rests, "a connected browser")
    browser.send(axes=FORWARD, late_ns=6_000_000_000)
    cell.spin_until(lambda: is_lost(cell.samples[-1]), "the loss")
    cell.spin_until(
        lambda: any("remote_stale_s = 5" in s.message for d in cell.diagnostics for s in d.status), "its reason"
    )


def test_an_emergency_stop_needs_no_holder(cell, browser):
    browser.until(is_estop, "an emergency stop", connected=False, events=("estop",))
