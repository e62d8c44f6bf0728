"""The thread that reads a device."""

import threading

import numpy as np

from apo_teleop.devices.device import DeviceSample
from apo_teleop.devices.mapping import AxisMapping, MappingConfig
from apo_teleop.devices.publication import OperatorPublication
from apo_teleop.devices.reader import DeviceReader, NoDevice

WAIT_S = 10.0  # limit of a wait for something that will come
FULL = np.array([1.0, 0, 0, 0, 0, 0])


class Device:
    """Gives the samples it is fed."""

    name, problem = "fake", "flat battery"

    def __init__(self):
        self.samples, self.closed = [], False

    def poll(self, now_ns):
        return self.samples.pop(0) if self.samples else None

    def close(self):
        self.closed = True


class Published:
    """Collects what is published and waits for it."""

    def __init__(self):
        self.samples, self._news = [], threading.Condition()

    def __call__(self, sample):
        with self._news:
            self.samples.append(sample)
            self._news.notify_all()

    def wait_for(self, condition):
        with self._news:
            assert self._news.wait_for(lambda: any(map(condition, self.samples)), WAIT_S)


def reader(device, publish, report=lambda line: None):
    return DeviceReader(device, AxisMapping(MappingConfig()), OperatorPublication(10_000_000), 0.001, publish, report)


def test_changes_and_heartbeats_are_published_until_it_is_closed():
    device, published, lines = Device(), Published(), []
    device.samples.append(DeviceSample(1, True, FULL, events=("gripper_toggle",)))
    reading = reader(device, published, lines.append)
    reading.start()
    published.wait_for(lambda sample: sample.active and sample.events == ("gripper_toggle",))
    published.wait_for(lambda sample: sample.active and sample.events == ())
    device.samples.append(DeviceSample(2, False, np.zeros(6)))
    published.wait_for(lambda sample: not sample.connected)
    assert reading.summary == {"device": "fake", "connected": "false", "problem": "flat battery", "enabled": "true"}
    reading.close()
    reading.close()
    assert device.closed
    assert lines == ["fake: connected, flat battery", "fake: not connected, flat battery"]
    assert not published.samples[-1].connected


def test_the_last_sample_reports_that_the_operator_is_gone():
    device, published = Device(), Published()
    device.samples.append(DeviceSample(1, True, FULL))
    reading = reader(device, published)
    reading.start()
    published.wait_for(lambda sample: sample.active)
    reading.close()
    last = published.samples[-1]
    assert (last.connected, last.active, last.events) == (False, False, ()) and not last.values.any()


def test_a_woken_reader_polls_at_once():
    device, published = Device(), Published()
    mapping, feed = AxisMapping(MappingConfig()), OperatorPublication(3600 * 10**9)
    reading = DeviceReader(device, mapping, feed, 3600.0, published, lambda line: None)
    reading.start()
    published.wait_for(lambda sample: not sample.connected)
    device.samples.append(DeviceSample(1, True, FULL))
    reading.wake()
    published.wait_for(lambda sample: sample.active)
    reading.close()


def test_a_device_that_raises_is_lost_and_reported_once():
    class Broken(Device):
        def poll(self, now_ns):
            if self.samples:
                return self.samples.pop(0)
            raise RuntimeError("bug")

    device, published, lines = Broken(), Published(), []
    device.samples.append(DeviceSample(1, True, FULL))
    reading = reader(device, published, lines.append)
    reading.start()
    published.wait_for(lambda sample: sample.active)
    published.wait_for(lambda sample: not sample.connected)
    reading.close()
    assert device.closed
    assert len([line for line in lines if "RuntimeError: bug" in line]) == 1


def test_a_disabled_operator_does_not_act():
    device, published = Device(), Published()
    reading = reader(device, published)
    reading.enable(False)
    device.samples.append(DeviceSample(1, True, FULL))
    reading.start()
    published.wait_for(lambda sample: sample.connected and not sample.active)
    reading.close()
    assert not any(sample.active for sample in published.samples)


def test_without_a_publisher_samples_are_fetched():
    lines = Published()
    reading = reader(NoDevice(), None, lines)
    reading.start()
    lines.wait_for(lambda line: line == "none: not connected, no device is configured")
    assert not reading.take_always().connected
    reading.close()
