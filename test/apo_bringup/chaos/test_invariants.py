"""Each invariant of the command stream: a stream that violates it is reported, a good one is not."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from apo_bringup.chaos.events import (
    Arbiter,
    Chunk,
    Command,
    Estop,
    Event,
    ForeignPose,
    LineDelay,
    Now,
    Operator,
    Pose,
    Publishers,
    Starved,
)
from apo_bringup.chaos.invariants import Invariants
from apo_core.contract.contract import load_contract

CONTRACT = load_contract(Path(__file__).parents[3] / "config" / "contract.yaml")
MS = 1_000_000
PERIOD = 50 * MS
START = 1_000_000 * MS
AHEAD = 10**12  # ROS time of the stamps
REST = (0.0,) * 6 + (-1.0,)


def command(n: int, source: str = "POLICY", values: tuple[float, ...] = REST, late_ms: int = 0, **changes) -> Command:
    """Command of tick n, sent in time."""
    stamp = AHEAD + n * PERIOD
    stamps = (stamp, stamp - PERIOD, stamp - PERIOD, stamp)
    made = Command(START + n * PERIOD + late_ms * MS, n, values, source, "r", *stamps)
    return dataclasses.replace(made, **changes)


def inputs(n: int, acts: bool = False) -> list[Event]:
    """What arrives 10 ms before tick n."""
    t = START + n * PERIOD - 10 * MS
    stamp = AHEAD + n * PERIOD
    return [Pose(t, (0.0, 0.0, 1.0), stamp), Operator(t, acts, stamp), Chunk(t, True, stamp)]


def started() -> list[Event]:
    return [Arbiter(START, 77, True)]


def violations(events: list[Event]) -> list[str]:
    """Names of the violated invariants, in order."""
    judge = Invariants(CONTRACT)
    return [violation.invariant for event in events for violation in judge.on_event(event)]


def stream(ticks: range, change: Callable[[int], list[Event]] | None = None, source: str = "POLICY") -> list[Event]:
    """A good stream; `change(n)` replaces what happens at tick n."""
    made = started()
    for n in ticks:
        made += [*inputs(n), command(n, source)] if change is None else change(n)
    return made


def test_a_good_stream_violates_nothing():
    assert violations(stream(range(1, 100))) == []
    moved = [event for n in range(1, 100) for event in (*inputs(n, acts=True), command(n, "HUMAN"))]
    assert violations(started() + moved) == []


@pytest.mark.parametrize(
    "values",
    [
        (1.01, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0),
        (0.8, 0.8, 0.0, 0.0, 0.0, 0.0, -1.0),
        (0.0, 0.0, 0.0, 8.0, 8.0, 0.0, -1.0),
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.1),
        (math.nan, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0),
        (0.0, 0.0, 0.0, 0.0, math.inf, 0.0, -1.0),
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        (),
    ],
)
def test_a_command_beyond_its_limits_is_reported(values):
    events = [*stream(range(1, 5)), *inputs(5), command(5, values=values)]
    assert "within_limits" in violations(events)


def test_fastest_allowed_commands_violate_nothing():
    fast = (0.57735, 0.57735, 0.57735, 5.7735, 5.7735, 5.7735, 1.0)
    assert violations([*stream(range(1, 5)), *inputs(5), command(5, values=fast)]) == []


def test_a_change_beyond_the_acceleration_is_reported():
    slow = dataclasses.replace(CONTRACT, limits=dataclasses.replace(CONTRACT.limits, linear_acceleration=2.0))
    judge = Invariants(slow)
    for event in [*started(), *inputs(1), command(1, values=(0.1, *REST[1:]))]:
        assert list(judge.on_event(event)) == []
    (found,) = judge.on_event(command(2, values=(0.3, *REST[1:])))
    assert found.invariant == "within_limits"
    assert "linear speed changes by 0.2" in found.text


def test_a_command_further_out_of_the_workspace_is_reported():
    def outside(n: int, speed: float) -> list[Event]:
        t = START + n * PERIOD - 10 * MS
        return [Pose(t, (0.42, 0.0, 1.0)), Operator(t, False), Chunk(t, True), command(n, values=(speed, *REST[1:]))]

    assert violations(started() + outside(1, 0.05)) == ["within_limits"]
    assert violations(started() + outside(1, -0.05)) == []
    foreign = [ForeignPose(START, 0), *outside(1, 0.05)]
    assert violations(started() + foreign) == []


def test_a_gap_between_commands_is_reported():
    late = [*inputs(5), command(5, late_ms=260)]
    assert violations(stream(range(1, 5)) + late) == ["no_gap"]


def test_a_gap_in_which_messages_were_lost_on_their_way_is_none():
    assert violations([*stream(range(1, 5)), *inputs(20), command(20)]) == []


def test_a_gap_without_a_processor_is_none():
    hungry = [Starved(START + 4 * PERIOD, 200 * MS, START + 9 * PERIOD), *inputs(5), command(5, late_ms=260)]
    assert violations(stream(range(1, 5)) + hungry) == []


def test_a_stopped_arbiter_has_no_gap():
    stopped, resumed = Arbiter(START + 4 * PERIOD, 77, False), Arbiter(START + 100 * PERIOD, 77, True)
    after = dataclasses.replace(command(101), tick=5)
    assert violations([*stream(range(1, 5)), stopped, resumed, *inputs(101), after]) == []


def test_silence_of_a_running_arbiter_is_reported_once():
    end = START + 4 * PERIOD
    assert violations([*stream(range(1, 5)), Now(end + 1100 * MS)]) == []
    assert violations([*stream(range(1, 5)), Now(end + 1300 * MS), Now(end + 1400 * MS)]) == ["no_gap"]
    dead = Arbiter(end, 0, False)
    assert violations([*stream(range(1, 5)), dead, Now(end + 5000 * MS)]) == []


def without(kind: type, since: int, source: str, known: bool = True) -> list[Event]:
    """A stream in which one kind of input ends; `known`: the commands name none that has not been seen."""

    def change(n: int) -> list[Event]:
        kept = [event for event in inputs(n, acts=source == "HUMAN") if n < since or not isinstance(event, kind)]
        newest = AHEAD + (min(n, since - 1) if known else n) * PERIOD
        # young by their stamps, as where time stands still
        return [*kept, command(n, source, stamp=newest + PERIOD, observation=newest, chunk=newest, operator=newest)]

    return stream(range(1, since + 20), change)


@pytest.mark.parametrize(("kind", "source"), [(Pose, "POLICY"), (Chunk, "POLICY"), (Operator, "HUMAN")])
def test_an_input_that_the_observer_alone_lacks_is_no_violation(kind, source):
    assert violations(without(kind, 10, source, known=False)) == []


@pytest.mark.parametrize(
    ("kind", "source", "count"),
    # the last input comes 10 ms before tick 9; due 700 ms later, the operator's 500 ms; the last tick is 29
    [(Pose, "POLICY", 7), (Pose, "HUMAN", 7), (Operator, "HUMAN", 11), (Chunk, "POLICY", 7)],
)
def test_motion_after_an_input_has_ended_is_reported(kind, source, count):
    assert violations(without(kind, 10, source)) == ["hold_in_time"] * count


def test_hold_after_an_input_has_ended_is_good():
    assert violations(without(Pose, 10, "HOLD")) == []


def test_motion_under_an_emergency_stop_is_reported():
    stop = Estop(START + 5 * PERIOD, True)
    go_on = [event for n in range(6, 12) for event in (*inputs(n), command(n))]
    found = violations([*stream(range(1, 6)), stop, *go_on])
    assert found == ["hold_in_time"] * 2
    cleared = Estop(START + 5 * PERIOD + 1, False)
    assert violations([*stream(range(1, 6)), stop, cleared, *go_on]) == []


def test_motion_with_a_second_publisher_is_reported():
    def change(n: int) -> list[Event]:
        second = [Publishers(START + 5 * PERIOD, "policy/chunk", 2)] if n == 5 else []
        return [*second, *inputs(n), command(n)]

    # 0.5 s to count, 0.2 s to hold, 0.5 s in which the observer may see the end of it later
    assert violations(stream(range(1, 32), change)) == ["hold_in_time"]
    assert violations(stream(range(1, 30), change)) == []


@pytest.mark.parametrize(("gone", "wanted"), [(28, []), (34, ["hold_in_time"])])
def test_the_arbiter_may_see_first_that_a_second_publisher_has_gone(gone, wanted):
    def change(n: int) -> list[Event]:
        counts = [Publishers(START + n * PERIOD, "policy/chunk", 2 if n == 5 else 1)] if n in (5, gone) else []
        moves = n in (1, 2, 3, 4, 21) or n >= gone
        return [*counts, *inputs(n), command(n) if moves else command(n, source="HOLD")]

    assert violations(stream(range(1, 50), change)) == wanted


@pytest.mark.parametrize("counts", [(2,), (1, 2), (2, 1), (2, 1, 2)])
@pytest.mark.parametrize("topic", ["command", "policy/chunk"])
def test_a_publisher_that_died_before_the_arbiter_is_none_of_its_own(topic, counts):
    restarted = Arbiter(START + 5 * PERIOD + 1, 78, True)
    before = [Publishers(START + 3 * PERIOD, topic, 2)]
    after = [Publishers(START + 6 * PERIOD + i * MS, topic, count) for i, count in enumerate(counts)]
    go_on = [event for n in range(7, 40) for event in (*inputs(n), command(n))]
    events = [*stream(range(1, 5)), *before, *inputs(5), command(5), restarted, *after, *go_on]
    # one that comes after a count of one is alive
    assert set(violations(events)) == ({"hold_in_time"} if counts[-2:] == (1, 2) else set())


def test_motion_on_an_unusable_answer_of_the_policy_is_reported():
    def change(n: int) -> list[Event]:
        t = START + n * PERIOD - 10 * MS
        stamp = AHEAD + n * PERIOD
        return [Pose(t, (0.0, 0.0, 1.0)), Operator(t, False), Chunk(t, n < 5, stamp), command(n)]

    assert violations(stream(range(1, 10), change)) == ["hold_in_time"]
    assert violations(stream(range(1, 8), change)) == []


def test_an_answer_that_only_the_arbiter_has_received_makes_motion_right():
    def change(n: int) -> list[Event]:
        t, stamp = START + n * PERIOD - 10 * MS, AHEAD + n * PERIOD
        seen = [Chunk(t, n < 5, stamp)] if n < 6 else []
        return [Pose(t, (0.0, 0.0, 1.0)), Operator(t, False), *seen, command(n)]

    assert violations(stream(range(1, 10), change)) == []


@pytest.mark.parametrize("age_ms", [501, 5000])
@pytest.mark.parametrize("what", ["observation", "chunk"])
def test_motion_on_what_is_too_old_by_its_stamp_is_reported(what, age_ms):
    old = command(5, **{what: AHEAD + 5 * PERIOD - age_ms * MS})
    assert violations([*stream(range(1, 5)), *inputs(5), old]) == ["hold_in_time"]


def test_motion_when_time_goes_back_is_reported():
    back = command(5, stamp=AHEAD, observation=AHEAD - PERIOD, chunk=AHEAD - PERIOD)
    assert violations([*stream(range(1, 5)), *inputs(5), back]) == ["hold_in_time"]
    held = dataclasses.replace(back, source="HOLD")
    assert violations([*stream(range(1, 5)), *inputs(5), held]) == []


def test_policy_while_the_operator_moves_is_reported():
    moves = [event for n in range(5, 9) for event in (*inputs(n, acts=True), command(n))]
    # the arbiter knows it from tick 5 on; more than 100 ms later is tick 8
    assert violations(stream(range(1, 5)) + moves) == ["operator_first"]


def test_what_a_delaying_line_keeps_back_the_arbiter_cannot_know():
    known = AHEAD + 4 * PERIOD
    moves = [event for n in range(5, 30) for event in (*inputs(n, acts=True), command(n, operator=known))]
    slow = LineDelay(START + 4 * PERIOD + 1, 0.48)
    # more than 780 ms after the first motion is tick 21
    assert violations([*stream(range(1, 5)), slow, *moves]) == ["operator_first"] * 9
    ended = [*moves[:60], LineDelay(moves[60].t, 0.0), *moves[60:]]
    assert len(violations([*stream(range(1, 5)), slow, *ended])) == 10


def test_what_has_not_reached_the_arbiter_soon_is_reported():
    known = AHEAD + 4 * PERIOD
    moves = [event for n in range(5, 30) for event in (*inputs(n, acts=True), command(n, operator=known))]
    # the operator moves from 10 ms before tick 5; more than 300 ms later is tick 11
    assert violations(stream(range(1, 5)) + moves) == ["operator_first"] * 19
    never = [event for n in range(5, 30) for event in (*inputs(n, acts=True), command(n, operator=0))]
    later = Now(START + 29 * PERIOD + 510 * MS)
    assert violations([*stream(range(1, 5)), *never, later]) == ["operator_first"] * 19
    # received late: HUMAN follows at once
    received = [*inputs(11, acts=True), command(11, "HUMAN")]
    assert violations(stream(range(1, 5)) + moves[: 4 * 6] + received) == []


def test_a_sample_that_a_fault_stamped_zero_is_one_as_others():
    moved = [event for n in range(5, 10) for event in (*inputs(n, acts=True), command(n, "HUMAN"))]
    still = [event for n in range(10, 30) for event in (*inputs(n), command(n))]
    empty = [*inputs(30), Operator(START + 30 * PERIOD - 5 * MS, False, 0), command(30, operator=0)]
    assert violations(stream(range(1, 5)) + moved + still + empty) == []
    # the arbiter receives it before the observer does
    late = [*inputs(30), command(30, operator=0), Operator(START + 30 * PERIOD - 5 * MS, False, 0)]
    later = [event for n in range(31, 50) for event in (*inputs(n), command(n))]
    assert violations(stream(range(1, 5)) + moved + still + late + later) == []
    never = [*inputs(30), command(30, operator=0)]
    assert violations(stream(range(1, 5)) + moved + still + never + later) == ["operator_first"]


def test_a_sample_that_the_observer_has_not_received_proves_nothing():
    ahead = [event for n in range(5, 30) for event in (*inputs(n, acts=True), command(n, operator=AHEAD * 2))]
    assert violations(stream(range(1, 5)) + ahead) == []


def test_policy_after_the_operator_was_lost_or_rests_is_good():
    moved = [*inputs(5, acts=True), command(5, "HOLD")]
    rests = [event for n in range(6, 12) for event in (*inputs(n), command(n))]
    assert violations(stream(range(1, 5)) + moved + rests) == []


def test_what_the_arbiter_has_to_do_begins_when_it_can_run():
    stop = [Arbiter(START + 4 * PERIOD, 77, False), Estop(START + 4 * PERIOD, True)]
    resumed = Arbiter(START + 50 * PERIOD, 77, True)
    soon, late = (dataclasses.replace(command(n), tick=tick) for n, tick in ((53, 5), (55, 6)))
    assert violations([*stream(range(1, 5)), *stop, resumed, *inputs(53), soon]) == []
    assert violations([*stream(range(1, 5)), *stop, resumed, *inputs(53), soon, late]) == ["hold_in_time"]


def test_checks_are_counted():
    judge = Invariants(CONTRACT)
    for event in stream(range(1, 11)):
        list(judge.on_event(event))
    assert judge.checked == {"within_limits": 10, "no_gap": 10, "hold_in_time": 10, "operator_first": 10}
    assert judge.largest_gap_ns == PERIOD
