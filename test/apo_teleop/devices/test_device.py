"""The sample of a device that is gone."""

from apo_teleop.devices.device import disconnected


def test_a_lost_device_moves_nothing_and_keeps_an_emergency_stop_alone():
    sample = disconnected(7, ("gripper_toggle", "estop", "clear", "estop"))
    assert (sample.stamp_ns, sample.connected, sample.events) == (7, False, ("estop", "estop"))
    assert sample.axes.shape == (6,) and not sample.axes.any()
