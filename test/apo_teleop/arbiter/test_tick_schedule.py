"""Missed ticks, and when a lockstep tick may be answered."""

from apo_teleop.arbiter.tick_schedule import LockstepGate, LockstepTick, TimerCadence

MS = 1_000_000


def test_a_timer_gap_counts_the_ticks_in_it():
    cadence = TimerCadence(50 * MS)
    for time_ms in (1000, 1050, 1120, 1195):
        cadence.tick(time_ms * MS)
    assert cadence.missed == 0
    cadence.tick(1271 * MS)
    assert cadence.missed == 1
    cadence.tick(1471 * MS)
    assert cadence.missed == 4


def test_a_tick_waits_for_both_answers_and_is_given_out_once():
    gate = LockstepGate(5000 * MS)
    assert gate.take(0) is None
    assert not gate.observe(100, 7)
    assert gate.take(8) is None
    gate.answer("policy", 100)
    assert gate.take(9) is None
    gate.answer("operator", 100)
    assert gate.take(10) == LockstepTick(100, ())
    assert gate.take(11) is None
    assert gate.missed == 0


def test_answers_may_come_before_the_observation():
    gate = LockstepGate(5000 * MS)
    gate.answer("operator", 100)
    gate.answer("policy", 100)
    gate.observe(100, 7)
    assert gate.take(7) is not None


def test_an_answer_to_an_older_observation_does_not_count():
    gate = LockstepGate(5000 * MS)
    gate.answer("policy", 99)
    gate.answer("operator", 100)
    gate.observe(100, 0)
    assert gate.take(4999 * MS) is None


def test_the_deadline_names_who_is_late():
    gate = LockstepGate(10 * MS)
    gate.observe(100, 0)
    gate.answer("operator", 100)
    assert gate.take(10 * MS - 1) is None
    assert gate.take(10 * MS) == LockstepTick(100, ("policy",))
    assert gate.missed == 1


def test_a_newer_observation_replaces_one_that_waits():
    gate = LockstepGate(10 * MS)
    gate.observe(100, 0)
    gate.observe(200, 5)
    gate.answer("policy", 200)
    gate.answer("operator", 200)
    assert gate.take(6).stamp_ns == 200
    assert gate.missed == 0


def test_a_repeated_observation_is_recognized():
    gate = LockstepGate(10 * MS)
    assert not gate.observe(100, 0)
    assert not gate.observe(100, 1)
    gate.answer("policy", 100)
    gate.answer("operator", 100)
    gate.take(2)
    assert gate.observe(100, 3)
    assert gate.take(4) is None


def test_time_that_starts_over_needs_new_answers():
    gate = LockstepGate(10 * MS)
    gate.observe(1000, 0)
    gate.answer("policy", 1000)
    gate.answer("operator", 1000)
    gate.take(0)
    gate.answer("operator", 50)
    gate.observe(50, 1)
    assert gate.take(1) is None
    gate.answer("policy", 50)
    assert gate.take(2) == LockstepTick(50, ())
