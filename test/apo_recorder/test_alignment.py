import pytest

from apo_recorder.alignment import CommandAlignment

TICK = 100_000_000
WAIT = 500_000_000


def pairs(alignment, now_ns, flush_before_ns=0) -> list[tuple[int, int | None]]:
    """(tick, tick of the observation) of what is ready."""
    return [
        (p.command.tick, None if p.observation is None else p.observation.stamp_ns / TICK)
        for p in alignment.ready(now_ns, flush_before_ns)
    ]


@pytest.fixture
def exact():
    return CommandAlignment(0, WAIT)


def test_observation_first(exact, make_observation, make_command):
    exact.add_observation(make_observation(TICK))
    exact.add_command(make_command(1))
    assert pairs(exact, TICK) == [(1, 1)]
    assert pairs(exact, TICK) == []


def test_late_observation_is_waited_for(exact, make_observation, make_command):
    exact.add_command(make_command(1))
    assert pairs(exact, TICK) == []
    assert exact.oldest_receive_ns == TICK
    exact.add_observation(make_observation(TICK))
    assert pairs(exact, TICK) == [(1, 1)]
    assert exact.oldest_receive_ns is None


def test_wait_is_bounded(exact, make_command):
    exact.add_command(make_command(1))
    assert pairs(exact, TICK + WAIT - 1) == []
    assert pairs(exact, TICK + WAIT) == [(1, None)]


def test_newer_observation_ends_the_wait(exact, make_observation, make_command):
    exact.add_command(make_command(1))
    exact.add_observation(make_observation(2 * TICK))
    assert pairs(exact, TICK) == [(1, None)]


def test_order_of_commands_is_kept(exact, make_observation, make_command):
    exact.add_command(make_command(1))
    exact.add_command(make_command(2))
    assert pairs(exact, 2 * TICK) == []
    exact.add_observation(make_observation(TICK))
    exact.add_observation(make_observation(2 * TICK))
    assert pairs(exact, 2 * TICK) == [(1, 1), (2, 2)]


def test_nearest_older_observation_within_the_tolerance(make_observation, make_command):
    alignment = CommandAlignment(30_000_000, WAIT)
    for stamp_ns in (TICK - 40_000_000, TICK - 20_000_000, TICK + 5_000_000):
        alignment.add_observation(make_observation(stamp_ns))
    alignment.add_command(make_command(1))
    assert pairs(alignment, TICK) == [(1, 0.8)]


def test_beyond_the_tolerance_is_no_pair(make_observation, make_command):
    alignment = CommandAlignment(30_000_000, WAIT)
    alignment.add_observation(make_observation(TICK - 30_000_001))
    alignment.add_command(make_command(1))
    assert pairs(alignment, TICK) == []
    assert pairs(alignment, TICK + WAIT) == [(1, None)]


def test_one_observation_serves_several_commands(make_observation, make_command):
    alignment = CommandAlignment(0, WAIT)
    alignment.add_observation(make_observation(TICK))
    alignment.add_command(make_command(1))
    alignment.add_command(make_command(2, observation_ns=TICK))
    assert pairs(alignment, TICK) == [(1, 1), (2, 1)]


def test_command_without_an_observation_never_waits(exact, make_command):
    exact.add_command(make_command(1, observation_ns=0))
    assert pairs(exact, TICK) == [(1, None)]


def test_command_of_a_task_that_did_not_run_is_left_out(exact, make_observation, make_command):
    for tick, running in ((1, True), (2, False), (3, False), (4, True)):
        exact.add_status(tick * TICK, running)
        exact.add_observation(make_observation(tick * TICK))
        exact.add_command(make_command(tick))
    assert pairs(exact, 4 * TICK) == [(1, 1), (4, 4)]


def test_what_is_left_of_the_task_is_that_of_the_observation(exact, make_observation, make_command):
    for tick, remaining in ((1, 0.5), (2, None), (3, 0.25)):
        exact.add_status(tick * TICK, True, remaining, {"grasped": tick == 2})
        exact.add_observation(make_observation(tick * TICK))
        exact.add_command(make_command(tick))
    pairings = exact.ready(3 * TICK)
    assert [pairing.task_remaining for pairing in pairings] == [0.5, None, 0.25]
    assert [pairing.task_stages["grasped"] for pairing in pairings] == [False, True, False]


def test_remaining_is_unknown_without_a_status_of_the_observation(make_observation, make_command):
    alignment = CommandAlignment(30_000_000, WAIT)
    alignment.add_observation(make_observation(TICK))
    alignment.add_command(make_command(1))
    alignment.add_status(TICK - 1, True, 0.5)
    alignment.add_status(TICK + 1, True, 0.25)
    (pairing,) = alignment.ready(TICK)
    assert (pairing.task_remaining, pairing.task_stages) == (None, None)


def test_a_status_that_comes_after_its_command_is_waited_for(exact, make_observation, make_command):
    exact.add_status(TICK, True, 0.5)
    exact.add_observation(make_observation(2 * TICK))
    exact.add_command(make_command(2))
    assert exact.ready(2 * TICK) == []
    exact.add_status(2 * TICK, True, 0.25)
    assert [pairing.task_remaining for pairing in exact.ready(2 * TICK)] == [0.25]


def test_status_is_waited_for_once_there_is_one(exact, make_observation, make_command):
    exact.add_status(TICK, True)
    exact.add_observation(make_observation(2 * TICK))
    exact.add_command(make_command(2))
    assert pairs(exact, 2 * TICK) == []
    exact.add_status(2 * TICK, False)
    assert pairs(exact, 2 * TICK) == []
    assert exact.oldest_receive_ns is None


def test_first_status_is_waited_for_where_it_is_expected(make_observation, make_command):
    alignment = CommandAlignment(0, WAIT, expects_status=True)
    alignment.add_observation(make_observation(TICK))
    alignment.add_command(make_command(1))
    assert pairs(alignment, TICK) == []
    alignment.add_status(TICK, True)
    assert pairs(alignment, TICK) == [(1, 1)]


def test_flush_gives_out_older_commands_only(exact, make_observation, make_command):
    exact.add_command(make_command(1))
    exact.add_command(make_command(2))
    assert pairs(exact, 2 * TICK, flush_before_ns=2 * TICK) == [(1, None)]
    exact.add_observation(make_observation(2 * TICK))
    assert pairs(exact, 2 * TICK) == [(2, 2)]


def test_number_of_waiting_commands_is_bounded(exact, make_command):
    for tick in range(1, 600):
        exact.add_command(make_command(tick, receive_ns=0))
    assert [tick for tick, _ in pairs(exact, 0)] == list(range(1, 88))
