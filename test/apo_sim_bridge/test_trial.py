import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apo_core.actions import GripperScale
from apo_sim_bridge.trial import CommandInbox, Trial, TrialRules

TICK = 50_000_000
BEFORE = 4_000_000_000  # simulated time before the first tick
START = BEFORE + 1_000_000_000
RULES = TrialRules(period_ns=TICK, horizon=5, success_hold_steps=2)
LOW, HIGH = [-1.0] * 7, [1.0] * 7


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


@pytest.fixture
def inbox():
    return CommandInbox(LOW, HIGH, "base", GripperScale(0.08, 0.0), timeout_ns=200)


def test_newest_twist_is_executed_until_its_timeout(inbox):
    assert inbox.put_twist([0.1] * 6, "base", 11, now_ns=0) == ""
    assert inbox.put_twist([0.2] * 6, "base", 12, now_ns=100) == ""
    assert inbox.put_gripper(0.02, 12) == ""
    execution = inbox.take(300)
    np.testing.assert_array_equal(execution.action, np.array([0.2] * 6 + [0.5], np.float32))
    assert execution.action.dtype == np.float32 and execution.observation_stamp_ns == 12
    stale = inbox.take(301)
    np.testing.assert_array_equal(stale.action, np.array([0, 0, 0, 0, 0, 0, 0.5], np.float32))
    assert stale.observation_stamp_ns == 0


def test_arm_stands_still_with_an_open_gripper_at_first(inbox):
    np.testing.assert_array_equal(inbox.take(0).action, np.array([0, 0, 0, 0, 0, 0, -1], np.float32))


def test_clear_forgets_twist_and_gripper(inbox):
    inbox.put_twist([0.5] * 6, "base", 11, 0)
    inbox.put_gripper(0.0, 11)
    inbox.clear()
    np.testing.assert_array_equal(inbox.take(0).action, np.array([0, 0, 0, 0, 0, 0, -1], np.float32))
    assert not inbox.answers(11)


def test_rounding_beyond_a_limit_is_cut_off(inbox):
    assert inbox.put_twist([1.001, -1.001, 0, 0, 0, 0], "base", 11, 0) == ""
    assert inbox.put_gripper(-0.00004, 11) == ""
    np.testing.assert_array_equal(inbox.take(0).action, np.array([1, -1, 0, 0, 0, 0, 1], np.float32))


@pytest.mark.parametrize(
    ("twist", "frame", "fault"),
    [
        ([0.0] * 5, "base", "6 finite numbers"),
        ([float("nan")] + [0.0] * 5, "base", "6 finite numbers"),
        ([0.0] * 5 + [float("inf")], "base", "6 finite numbers"),
        ([1.1] + [0.0] * 5, "base", "outside"),
        ([0.0] * 6, "world", "has the frame 'world', must have 'base'"),
    ],
)
def test_unusable_twist_stops_the_arm(inbox, twist, frame, fault):
    inbox.put_twist([0.5] * 6, "base", 11, 0)
    inbox.put_gripper(0.02, 11)
    assert fault in inbox.put_twist(twist, frame, 12, 0)
    execution = inbox.take(0)
    np.testing.assert_array_equal(execution.action, np.array([0, 0, 0, 0, 0, 0, 0.5], np.float32))
    assert execution.observation_stamp_ns == 0


@pytest.mark.parametrize("position", [float("nan"), float("inf"), 0.1, -0.01])
def test_unusable_position_leaves_the_gripper(inbox, position):
    inbox.put_twist([0.5] * 6, "base", 11, 0)
    inbox.put_gripper(0.02, 11)
    assert "position" in inbox.put_gripper(position, 12)
    np.testing.assert_array_equal(inbox.take(0).action, np.full(7, 0.5, np.float32))


def test_a_tick_is_answered_by_both_with_its_stamp(inbox):
    assert not inbox.answers(11)
    inbox.put_twist([0.1] * 6, "base", 11, 0)
    assert not inbox.answers(11)
    inbox.put_gripper(0.08, 10)
    assert not inbox.answers(11) and not inbox.answers(10)
    inbox.put_gripper(0.08, 11)
    assert inbox.answers(11)
    inbox.put_twist([float("nan")] * 6, "base", 12, 0)
    inbox.put_gripper(float("nan"), 12)
    assert inbox.answers(12)
