import numpy as np
import pytest

from apo_core.types import ControlSource, EpisodeOutcome, Outcome
from apo_recorder.alignment import Pairing
from apo_recorder.episode_state import DropCounts, EpisodeState, Phase

TICK = 100_000_000
WAIT = 2_000_000_000


@pytest.fixture
def state(make_info):
    running = EpisodeState(cameras=2, end_wait_ns=WAIT)
    assert running.start(make_info()) == ""
    return running


@pytest.fixture
def add(state, make_command, make_observation):
    """Adds the command of a tick, with its observation unless `paired` is False; returns whether it gave a step."""

    def do(tick: int, paired: bool = True, **changes) -> bool:
        command = make_command(tick, **changes)
        observation = make_observation(command.observation_stamp_ns) if paired else None
        return state.add(Pairing(command, observation), command.receive_ns) is not None

    return do


def test_step_takes_its_facts_from_the_command(state, make_command, make_observation):
    command = make_command(
        3,
        source=ControlSource.HUMAN,
        human_action=make_command(4).action,
        reason="operator_motion",
        policy_tokens=np.arange(7, dtype=np.int32),
    )
    step = state.add(Pairing(command, make_observation(3 * TICK), 0.25), 3 * TICK)
    assert (step.tick, step.source, step.reason, step.adapter_version) == (3, "HUMAN", "operator_motion", 1)
    assert step.executed_action is command.action and step.human_action is command.human_action
    assert step.policy_action is command.policy_action
    assert step.policy_tokens is command.policy_tokens and step.task_remaining == 0.25
    assert (step.command_stamp_ns, step.chunk_stamp_ns, step.receive_ns) == (3 * TICK,) * 3
    assert step.observation.stamp_ns == 3 * TICK


def test_nothing_is_recorded_outside_an_episode(make_command, make_observation):
    idle = EpisodeState(2, WAIT)
    assert idle.add(Pairing(make_command(1), make_observation(TICK)), TICK) is None
    assert idle.request_end(Outcome.SUCCESS, "r", TICK) == "no episode is being recorded"
    assert idle.poll(TICK, None) is None


def test_second_start_is_rejected(state, make_info):
    assert state.start(make_info("e2")) == "episode e1 is RECORDING; end it first"
    assert state.info.episode_id == "e1"


@pytest.mark.parametrize(
    ("outcome", "truncated", "terminated"),
    [
        (Outcome.SUCCESS, False, True),
        (Outcome.FAILURE, False, True),
        (Outcome.FAILURE, True, False),
        (Outcome.UNLABELED, False, False),
    ],
)
def test_outcome(state, outcome, truncated, terminated):
    state.request_end(outcome, "because", 0, truncated=truncated)
    assert state.poll(0, None).outcome == EpisodeOutcome(outcome, "because", terminated, truncated)
    assert state.phase is Phase.IDLE


def test_discard_has_no_outcome(state):
    state.request_end(None, "operator", 0)
    assert state.poll(0, None).outcome is None


def test_end_waits_for_the_answer_to_the_last_observation(state, add):
    add(1)
    assert state.request_end(Outcome.SUCCESS, "r", TICK, until_ns=2 * TICK) == ""
    assert state.request_end(Outcome.SUCCESS, "r", TICK) == "the episode is ending already"
    assert state.poll(TICK, None) is None
    assert add(2)
    assert not add(3)  # answers a later observation
    end = state.poll(2 * TICK, None)
    assert end.until_ns == 2 * TICK and end.drops == DropCounts()


def test_wait_for_the_last_command_is_bounded_and_counted(state, add):
    add(1)
    state.request_end(Outcome.SUCCESS, "r", TICK, until_ns=2 * TICK)
    assert state.poll(TICK + WAIT - 1, None) is None
    assert state.poll(TICK + WAIT, None).drops == DropCounts(commands_lost=1, frames_lost=2)


def test_a_later_command_shows_that_the_last_one_was_lost(state, add):
    add(1)
    state.request_end(Outcome.SUCCESS, "r", TICK, until_ns=2 * TICK)
    assert not add(3)
    assert state.poll(3 * TICK, None) is not None


def test_end_without_a_stamp_takes_what_came_before_the_request(state, add):
    state.request_end(Outcome.SUCCESS, "r", 2 * TICK)
    assert state.poll(2 * TICK, oldest_waiting_ns=TICK) is None
    assert add(1, receive_ns=TICK)
    assert not add(3, receive_ns=3 * TICK)
    assert state.poll(3 * TICK, oldest_waiting_ns=3 * TICK) is not None


def test_forced_end_waits_for_nothing(state):
    state.request_end(Outcome.UNLABELED, "r", 0, until_ns=5 * TICK)
    assert state.poll(0, 0, force=True) is not None


def test_gaps_and_unpaired_commands_are_counted(state, add):
    add(1)
    add(4)
    assert not add(5, paired=False)
    state.count_dropped()
    state.count_out_of_order(3)
    state.request_end(Outcome.SUCCESS, "r", 0)
    assert state.poll(0, None).drops == DropCounts(
        frames_lost=8, commands_lost=2, steps_unpaired=1, steps_dropped=1, out_of_order=3
    )


def test_first_tick_of_an_episode_is_no_gap(state, add):
    add(100)
    state.request_end(Outcome.SUCCESS, "r", 0)
    assert state.poll(0, None).drops == DropCounts()


def test_repeated_command_is_dropped(state, add):
    assert add(2)
    assert not add(2)
    assert not add(1)
    state.request_end(Outcome.SUCCESS, "r", 0)
    assert state.poll(0, None).drops == DropCounts(out_of_order=2)


def test_restarted_arbiter_ends_the_episode(state, add):
    assert add(50)
    assert not add(1, stamp_ns=51 * TICK, observation_ns=51 * TICK, receive_ns=51 * TICK)
    end = state.poll(51 * TICK, None)
    assert end.outcome == EpisodeOutcome(Outcome.UNLABELED, "arbiter_restarted", False, False)


def test_losses_start_anew(state, add, make_info):
    add(1)
    add(9)
    state.abort()
    assert state.phase is Phase.IDLE
    state.start(make_info("e2"))
    state.request_end(Outcome.SUCCESS, "r", 0)
    assert state.poll(0, None).drops == DropCounts()


def test_reasons_beyond_twenty_are_counted_together(state):
    for number in range(25):
        state.count_cause(f"fault {number}")
    state.count_cause("")
    assert len(state.causes) == 21 and state.causes["other reasons"] == 5
