"""What stays until a person clears it."""

import numpy as np
import pytest

from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.latch import Clearance, Latch
from apo_teleop.arbiter.transitions import next_transition
from apo_teleop.arbiter.types import ArbiterInputs, OperatorInput, Reason

SECOND = 1_000_000_000
NOW = 100 * SECOND


@pytest.fixture
def latch() -> Latch:
    return Latch(ArbiterConfig(operator_stale_s=0.3, future_tolerance_s=0.1))


def pressed(event: str, stamp_ns: int = NOW, **inputs) -> ArbiterInputs:
    sample = OperatorInput(stamp_ns, stamp_ns, True, False, np.zeros(7, np.float32), (event,))
    return ArbiterInputs(stamp_ns, operator=sample, **inputs)


def test_a_stop_holds_before_its_step_and_after(latch):
    assert not latch.holds
    latch.stop()
    assert latch.holds and latch.estopped
    assert latch.holding() == {Reason.ESTOP}
    assert latch.follow(next_transition(latch.holding()), NOW) is Reason.ESTOP
    assert latch.holding() == {Reason.LATCHED}
    assert latch.follow(next_transition(latch.holding()), NOW + SECOND) is Reason.ESTOP
    assert latch.estopped
    assert latch.clear() == Clearance("estop")
    assert not latch.holds and latch.clear() == Clearance("")


def test_a_fault_latches_or_passes_according_to_its_row(latch):
    assert latch.follow(next_transition({Reason.DEVICE_LOST}), NOW) is Reason.DEVICE_LOST
    assert latch.holds and not latch.estopped
    latch.clear()
    assert latch.follow(next_transition({Reason.CHUNK_STALE}), NOW) is Reason.CHUNK_STALE
    assert not latch.holds


def test_nothing_clears_while_a_publisher_repeats_the_stop(latch):
    latch.update_latch(NOW, ArbiterInputs(NOW, estop=True))
    latch.follow(next_transition(latch.holding()), NOW)
    assert latch.clear() == Clearance("", "a publisher on the topic estop requests a stop")
    latch.update_latch(NOW + SECOND, ArbiterInputs(NOW + SECOND))
    assert latch.clear() == Clearance("estop")


def test_what_is_requested_when_it_is_cleared_counts(latch):
    latch.update_latch(NOW, ArbiterInputs(NOW, estop=True))
    latch.follow(next_transition(latch.holding()), NOW)
    assert latch.clear(stop_held=False) == Clearance("estop")
    latch.stop()
    latch.follow(next_transition(latch.holding()), NOW)
    assert latch.clear(stop_held=True) == Clearance("", "a publisher on the topic estop requests a stop")
    assert latch.clear() == Clearance("", "a publisher on the topic estop requests a stop")
    assert latch.clear(stop_held=False) == Clearance("estop")


def test_a_button_pressed_while_the_stop_was_held_never_clears(latch):
    for tick in range(3):
        now = NOW + tick * SECOND // 20
        latch.update_latch(now, ArbiterInputs(now, estop=True))
        latch.follow(next_transition(latch.holding()), now)
    released = NOW + 3 * SECOND // 20
    for stamp, holds in ((NOW + SECOND // 20, True), (released, False)):
        sample = OperatorInput(stamp, released, True, False, np.zeros(7, np.float32), ("clear",))
        latch.update_latch(released, ArbiterInputs(released, operator=sample))
        assert latch.holds is holds


@pytest.mark.parametrize(
    ("age_s", "duplicate", "cleared"),
    [
        (0.0, "", True),
        (0.3, "", True),
        (0.31, "", False),  # too old
        (-0.1, "", True),
        (-0.11, "", False),
        (0.5, "", False),  # pressed before it latched
        (0.0, "operator/command", False),  # of whom is unclear
    ],
)
def test_a_clear_button_counts_if_it_is_of_what_is_latched(latch, age_s, duplicate, cleared):
    latch.follow(next_transition({Reason.DEVICE_LOST}), NOW - round(0.4 * SECOND))
    latch.update_latch(NOW, pressed("clear", NOW - round(age_s * SECOND), duplicate=duplicate))
    assert latch.holds is not cleared


def test_time_that_starts_over_keeps_no_button_from_clearing(latch):
    latch.follow(next_transition({Reason.DEVICE_LOST}), NOW)
    latch.update_latch(SECOND, ArbiterInputs(SECOND))
    latch.update_latch(2 * SECOND, pressed("clear", 2 * SECOND))
    assert not latch.holds


def test_a_stop_wins_over_a_clear_of_the_same_step(latch):
    sample = OperatorInput(NOW, NOW, True, False, np.zeros(7, np.float32), ("estop", "clear"))
    latch.update_latch(NOW, ArbiterInputs(NOW, operator=sample))
    assert latch.holding() == {Reason.ESTOP}
