"""A device of a browser: what counts, what disconnects it, and when it may move."""

import numpy as np
import pytest

from apo_core.types import OperatorEvent
from apo_teleop.devices.remote import RemoteConfig, RemoteDevice

MS = 1_000_000
REST = (0.0,) * 6
FORWARD = (0.5, 0.0, 0.0, 0.0, 0.0, 0.0)


class Browser:
    """A device, its time, and who holds it."""

    def __init__(self):
        self.device = RemoteDevice(RemoteConfig())
        self.device.publishers = 1
        self.now = 1_000 * MS

    def send(self, axes=REST, after_ms=20, holder="anna", connected=True, events=(), age_ms=0, held=False):
        self.now += after_ms * MS
        self.device.put(age_ms * MS, self.now, holder, connected, axes, events, held)
        return self.device.poll(self.now)

    def rests(self):
        """At rest for as long as it takes to be allowed to move."""
        for _ in range(7):
            sample = self.send()
        return sample

    def silent(self, ms):
        self.now += ms * MS
        return self.device.poll(self.now)


@pytest.fixture
def browser():
    return Browser()


def test_nobody_is_there_at_first_and_that_is_reported_once(browser):
    sample = browser.device.poll(browser.now)
    assert not sample.connected
    assert browser.device.problem == "nobody drives in a browser"
    assert browser.device.poll(browser.now + MS) is None


def test_what_the_holder_does_comes_out_with_its_time(browser):
    browser.rests()
    sample = browser.send(FORWARD, age_ms=5, held=True)
    assert sample.connected and sample.held
    np.testing.assert_array_equal(sample.axes, FORWARD)
    assert sample.stamp_ns == browser.now - 5 * MS
    assert browser.device.problem == ""
    assert browser.device.poll(browser.now + MS) is None, "nothing new"


def test_a_device_that_comes_deflected_waits_until_it_was_at_rest(browser):
    sample = browser.send(FORWARD)
    assert sample.connected
    np.testing.assert_array_equal(sample.axes, REST)
    assert browser.device.problem == "waits: it is deflected, let go of it once"
    browser.rests()
    np.testing.assert_array_equal(browser.send(FORWARD).axes, FORWARD)


def test_silence_is_a_loss(browser):
    browser.rests()
    browser.send(FORWARD)
    assert browser.silent(149) is None
    sample = browser.silent(2)
    assert not sample.connected
    np.testing.assert_array_equal(sample.axes, REST)
    assert browser.device.problem == "silent for 0.15 s, remote_stale_s = 0.15"
    assert browser.silent(1000) is None


def test_at_rest_a_longer_silence_is_no_loss(browser):
    browser.rests()
    browser.send()
    assert browser.silent(590) is None
    assert not browser.silent(20).connected
    assert browser.device.problem == "silent for 0.61 s, remote_rest_stale_s = 0.6"
    browser.rests()
    browser.send(held=True)
    assert not browser.silent(160).connected, "held is not at rest"


def test_a_release_is_a_loss_at_once(browser):
    browser.rests()
    browser.send(FORWARD)
    assert not browser.send(connected=False).connected
    # whoever comes next must rest first
    np.testing.assert_array_equal(browser.send(FORWARD).axes, REST)


def test_another_holder_begins_at_rest(browser):
    browser.rests()
    browser.send(FORWARD)
    assert not browser.send(FORWARD, holder="ben").connected
    assert browser.device.problem == "ben drives in place of anna"
    sample = browser.device.poll(browser.now)
    assert sample.connected
    np.testing.assert_array_equal(sample.axes, REST)


@pytest.mark.parametrize(
    ("axes", "age_ms", "problem"),
    [
        ((np.nan, *REST[1:]), 0, "are not 6 finite numbers"),
        (REST[:5], 0, "are not 6 finite numbers"),
        (FORWARD, 200, "stamp 0.200 s old, remote_stale_s = 0.15"),
        (FORWARD, -200, "stamp 0.200 s ahead, remote_stale_s = 0.15"),
        (REST, 601, "stamp 0.601 s old, remote_rest_stale_s = 0.6"),
        (REST, -601, "stamp 0.601 s ahead, remote_rest_stale_s = 0.6"),
    ],
)
def test_a_sample_that_cannot_be_meant_disconnects(browser, axes, age_ms, problem):
    browser.rests()
    assert not browser.send(axes, age_ms=age_ms).connected
    assert problem in browser.device.problem


def test_deflection_beyond_the_whole_is_clamped(browser):
    browser.rests()
    np.testing.assert_array_equal(browser.send((3.0, -2.0, 0, 0, 0, 0)).axes, (1.0, -1.0, 0, 0, 0, 0))


@pytest.mark.parametrize("count", [0, 2])
def test_another_number_of_publishers_disconnects(browser, count):
    browser.rests()
    browser.device.publishers = count
    assert not browser.send(FORWARD).connected
    assert browser.device.problem == f"{count} publishers on operator/device"


def test_events_come_out_once_and_unknown_ones_not_at_all(browser):
    browser.rests()
    sample = browser.send(events=("gripper_toggle", "dance"))
    assert sample.events == (OperatorEvent.GRIPPER_TOGGLE,)
    assert browser.send().events == ()


def test_an_emergency_stop_counts_whatever_else_is_wrong(browser):
    browser.device.poll(browser.now)
    sample = browser.send(events=("estop", "gripper_toggle"), connected=False)
    assert not sample.connected
    assert sample.events == (OperatorEvent.ESTOP,)
    sample = browser.send((np.nan,) * 6, events=("estop",))
    assert sample.events == (OperatorEvent.ESTOP,)
