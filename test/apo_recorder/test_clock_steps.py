import pytest

from apo_recorder.clock_steps import ClockSteps

S = 1_000_000_000


def test_time_that_runs_at_any_rate_up_to_a_second_ahead_is_no_step():
    clock = ClockSteps()
    for stamp_ns, receive_ns in ((5 * S, 90 * S), (6 * S, 90 * S), (6 * S + 1, 99 * S), (5 * S + 1, 99 * S)):
        assert clock.add(stamp_ns, receive_ns) == ""
    assert clock.count == 0


@pytest.mark.parametrize(
    ("stamp_ns", "step"), [(498 * S, "clock_set_back"), (0, "clock_set_back"), (502 * S, "clock_set_forward")]
)
def test_a_step_is_reported_once(stamp_ns, step):
    clock = ClockSteps()
    assert clock.add(500 * S - 1, 90 * S) == ""
    assert clock.add(stamp_ns, 90 * S + 50_000_000) == step
    assert clock.add(stamp_ns + 50_000_000, 90 * S + 100_000_000) == ""
    assert clock.count == 1


def test_an_observation_that_arrives_late_is_no_step():
    clock = ClockSteps()
    arrivals = [(10.0, 10.01), (10.05, 13.0), (13.0, 13.01), (13.05, 13.06)]
    assert [clock.add(round(stamp * S), round(arrival * S)) for stamp, arrival in arrivals] == [""] * 4


def test_observations_that_arrive_late_all_at_once_are_no_step():
    clock = ClockSteps()
    assert clock.add(10 * S, 10 * S) == ""
    late = [(10 + index * S // 5, 14 * S) for index in range(1, 15)]
    assert [clock.add(10 * S + stamp, arrival) for stamp, arrival in late] == [""] * 14
    assert clock.add(14 * S, 14 * S) == ""


def test_a_step_forward_after_late_observations_is_one():
    clock = ClockSteps()
    clock.add(10 * S, 10 * S)
    clock.add(10 * S + 1, 13 * S)
    assert clock.add(18 * S, 13 * S + 1) == "clock_set_forward"


def test_a_step_of_a_simulation_that_falls_behind_is_found():
    clock = ClockSteps()
    for index in range(200):  # a quarter of real time
        assert clock.add(index * S // 20, index * S // 5) == ""
    assert clock.add(15 * S, 40 * S) == "clock_set_forward"
