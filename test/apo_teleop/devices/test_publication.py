"""When an operator's sample is published."""

import dataclasses

import numpy as np

from apo_teleop.devices.mapping import OperatorSample
from apo_teleop.devices.publication import OperatorPublication

MS = 1_000_000
MOVING = OperatorSample(True, True, np.full(7, 0.5, np.float32), ("gripper_toggle",))
RESTING = OperatorSample(True, False, np.zeros(7, np.float32))


def test_before_the_first_reading_it_is_not_connected():
    sample = OperatorPublication(100 * MS).take(0)
    assert not sample.connected and not sample.active


def test_a_change_goes_out_at_once_and_then_the_heartbeat():
    feed = OperatorPublication(100 * MS)
    feed.put(MOVING)
    assert feed.take(0).events == ("gripper_toggle",)
    assert feed.take(99 * MS) is None
    repeated = feed.take(100 * MS)
    assert repeated.active and repeated.events == ()
    feed.put(RESTING)
    assert not feed.take(101 * MS).active


def test_the_same_again_is_no_change():
    feed = OperatorPublication(100 * MS)
    feed.put(RESTING)
    assert feed.take(0) is not None
    feed.put(RESTING)
    assert feed.take(1) is None
    feed.put(MOVING)
    assert feed.take(2).active


def test_a_change_has_its_own_stamp_and_a_heartbeat_that_of_its_time():
    feed = OperatorPublication(100 * MS)
    feed.put(dataclasses.replace(MOVING, stamp_ns=3 * MS))
    assert feed.take(5 * MS).stamp_ns == 3 * MS
    assert feed.take(105 * MS).stamp_ns == 105 * MS


def test_no_event_is_lost_between_two_publications():
    feed = OperatorPublication(100 * MS)
    feed.put(MOVING)
    feed.put(OperatorSample(True, False, np.zeros(7, np.float32), ("success",)))
    assert feed.take_always(0).events == ("gripper_toggle", "success")
    assert feed.take_always(1).events == ()


def test_a_disabled_operator_never_acts_but_may_stop():
    feed = OperatorPublication(100 * MS)
    feed.enable(False)
    feed.put(MOVING)
    sample = feed.take_always(0)
    assert sample.connected and not sample.active and sample.events == () and not sample.values.any()
    feed.put(OperatorSample(True, False, np.zeros(7, np.float32), ("estop", "hand_back")))
    assert feed.take_always(1).events == ("estop",)


def test_a_change_of_who_may_act_goes_out_at_once():
    feed = OperatorPublication(100 * MS)
    feed.put(MOVING)
    assert feed.take(0).active
    feed.enable(False)
    assert not feed.take(1).active


def test_a_device_that_is_held_while_it_is_enabled_must_rest_first():
    feed = OperatorPublication(100 * MS)
    feed.enable(False)
    feed.put(MOVING)
    feed.enable(True)
    feed.put(MOVING)
    held = feed.take(0)
    assert held.connected and not held.active and not held.values.any() and held.events == ()
    feed.put(RESTING)
    feed.put(MOVING)
    assert feed.take(1).active
