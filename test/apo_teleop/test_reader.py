"""The thread that reads a device."""

import threading

import numpy as np

from apo_teleop.devices.device import DeviceSample
from apo_teleop.devices.reader import DeviceReader, NoDevice
from apo_teleop.feed import OperatorFeed
from apo_teleop.mapping import AxisMapping, MappingConfig

WAIT_S = 10.0  # limit of a wait for something that will come
FULL = np.array([1.0, 0, 0, 0, 0, 0])


class Device:
    """Gives the samples it is fed."""

    name, problem = "fake", "unplugged"

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
    return DeviceReader(device, AxisMapping(MappingConfig()), OperatorFeed(10_000_000), 0.001, publish, report)


def test_changes_and_heartbeats_are_published_until_it_is_closed():
    device, published, lines = Device(), Published(), []
    device.samples.append(DeviceSample(1, True, FULL, pressed=("0",)))
    reading = reader(device, published, lines.append)
    reading.start()
    published.wait_for(lambda sample: sample.active and sample.events == ("gripper_toggle",))
    published.wait_for(lambda sample: sample.active and sample.events == ())
    device.samples.append(DeviceSample(2, False, np.zeros(6)))
    published.wait_for(lambda sample: not sample.connected)
    reading.close()
    reading.close()
    assert device.closed
    assert lines == ["fake connected", "fake unplugged"]


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
    told = Published()
    reading = reader(NoDevice(), None, told)
    reading.start()
    told.wait_for(lambda line: line == "none no device is wanted")
    assert not reading.take_always().connected
    reading.close()
