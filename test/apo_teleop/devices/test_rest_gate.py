"""A device must rest before it moves anything."""

import numpy as np

from apo_teleop.devices.rest_gate import RestGate

REST, PUSHED = np.full(6, 0.05), np.array([0, 0, 0, 0, 0, -0.3])


def test_it_opens_after_an_unbroken_rest_and_stays_open():
    gate = RestGate(0.06, 100)
    for now, axes, expected in (
        (0, PUSHED, False),
        (10, REST, False),
        (60, PUSHED, False),
        (70, REST, False),
        (169, REST, False),
        (170, REST, True),
        (171, PUSHED, True),
    ):
        gate.update(now, axes)
        assert gate.is_open is expected, now


def test_a_reset_closes_it():
    gate = RestGate(0.06, 100)
    gate.update(0, REST)
    gate.update(100, REST)
    gate.reset()
    assert not gate.is_open
    gate.update(150, REST)
    assert not gate.is_open
    gate.update(250, REST)
    assert gate.is_open


def test_deflected_is_beyond_rest():
    gate = RestGate(0.06, 0)
    assert gate.is_deflected(PUSHED) and not gate.is_deflected(REST)
