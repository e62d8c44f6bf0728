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
