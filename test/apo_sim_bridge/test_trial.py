import pytest
from hypothesis import given
from hypothesis import strategies as st

from apo_sim_bridge.trial import Trial, TrialRules

TICK = 50_000_000
BEFORE = 4_000_000_000  # simulated time before the first tick
START = BEFORE + 1_000_000_000
RULES = TrialRules(period_ns=TICK, horizon=5, success_hold_steps=2)


@pytest.fixture
def trial():
    running = Trial(RULES, BEFORE)
    running.reset(7)
    return running


def test_before_the_first_reset_nothing_runs():
    idle = Trial(RULES, BEFORE)
    assert not idle.running and not idle.answers_this_tick(START) and not idle.belongs(START)


def test_reset_starts_a_trial(trial):
    assert (trial.seed, trial.number, trial.step, trial.stamp_ns) == (7, 1, 0, START)
    assert trial.running and not trial.success and not trial.truncated
    assert trial.last_observation_stamp_ns == 0


def test_step_moves_the_stamp_on(trial):
    trial.advance(False, START)
    assert (trial.step, trial.stamp_ns, trial.last_observation_stamp_ns) == (1, START + TICK, START)


def test_step_without_a_command_answers_nothing(trial):
    trial.advance(False, START)
    trial.advance(False, 0)
    assert (trial.step, trial.last_observation_stamp_ns) == (2, START)


def test_success_must_hold(trial):
    for shows_success in (True, False, True):
        trial.advance(shows_success)
        assert trial.running and not trial.success
    trial.advance(True)
    assert trial.success and not trial.truncated and not trial.running


def test_horizon_truncates(trial):
    for _ in range(4):
        trial.advance(False)
    assert trial.running
    trial.advance(False)
    assert trial.truncated and not trial.success and not trial.running


def test_success_on_the_last_step_is_a_success(trial):
    for shows_success in (False, False, False, True, True):
        trial.advance(shows_success)
    assert trial.success and not trial.truncated


def test_reset_puts_a_second_between_trials(trial):
    trial.advance(True)
    trial.reset(8)
    assert (trial.seed, trial.number, trial.step, trial.stamp_ns) == (8, 2, 0, START + TICK + 1_000_000_000)
    trial.advance(True)
    assert not trial.success  # what was held before the reset does not count


def test_reset_in_real_time_follows_wall_time(trial):
    trial.reset(8, wall_ns=START + 3_000_000_000)
    assert trial.stamp_ns == START + 3_000_000_000
    assert trial.belongs(trial.stamp_ns) and not trial.belongs(START)


def test_resets_in_real_time_do_not_run_ahead_of_a_clock_behind(trial):
    for number in (1, 2, 3):
        trial.reset(8, wall_ns=BEFORE)
        assert trial.stamp_ns == START + number * TICK


def test_lockstep_takes_the_answer_to_this_tick_only(trial):
    trial.advance(False, START)
    assert trial.answers_this_tick(START + TICK)
    assert not trial.answers_this_tick(START)
    assert not trial.answers_this_tick(START + 2 * TICK)


def test_ended_trial_takes_no_command(trial):
    for _ in range(5):
        trial.advance(False)
    assert not trial.answers_this_tick(trial.stamp_ns) and not trial.belongs(trial.stamp_ns)


def test_real_time_takes_answers_to_this_trial_only(trial):
    trial.advance(False)
    assert trial.belongs(START) and trial.belongs(START + TICK)
    assert not trial.belongs(0)  # no observation was known
    before = trial.stamp_ns
    trial.reset(8)
    assert not trial.belongs(before) and trial.belongs(trial.stamp_ns)


@given(st.lists(st.sampled_from(["reset", "reset_behind", "reset_ahead", "advance", "idle"]), max_size=40))
def test_stamps_strictly_increase(actions):
    trial = Trial(RULES, BEFORE)
    stamps = [trial.stamp_ns]
    for action in actions:
        if action == "advance" and not trial.running:
            continue
        {
            "reset": lambda: trial.reset(1),
            "reset_behind": lambda: trial.reset(1, trial.stamp_ns - TICK),
            "reset_ahead": lambda: trial.reset(1, trial.stamp_ns + 7 * TICK),
            "advance": lambda: trial.advance(False),
            "idle": trial.idle,
        }[action]()
        stamps.append(trial.stamp_ns)
    assert stamps == sorted(set(stamps))
