"""When a new chunk is predicted, and what becomes a fault instead of an action."""

import dataclasses

import numpy as np
import pytest

from apo_core.errors import ConfigError
from apo_core.types import ControlSource
from apo_policy_node.policy_runner import Cause, PolicyRunner


@pytest.fixture
def runner(policy, contract, clock) -> PolicyRunner:
    return PolicyRunner(policy, contract, replan_steps=3, clock=clock, lockstep=True)


def drive(runner, observe, ticks, source=ControlSource.POLICY):
    """Causes of the answers to these ticks, the previous command by `source`."""
    causes = []
    for tick in ticks:
        observation = observe(tick)
        causes.append(runner.answer(observation, observation.stamp_ns).cause)
        runner.executed(source)
    return causes


def test_a_chunk_serves_replan_steps_ticks(runner, policy, observe):
    causes = drive(runner, observe, range(7))

    assert causes == [
        Cause.NO_CHUNK,
        Cause.IN_FORCE,
        Cause.IN_FORCE,
        Cause.CHUNK_USED,
        Cause.IN_FORCE,
        Cause.IN_FORCE,
        Cause.CHUNK_USED,
    ]
    assert policy.predicted == [observe(tick).stamp_ns for tick in (0, 3, 6)]


def test_a_repeated_chunk_answers_the_new_observation_with_the_old_stamp(runner, observe):
    first, second = observe(0), observe(1)
    new = runner.answer(first, first.stamp_ns)
    repeated = runner.answer(second, second.stamp_ns)

    assert repeated.observation_stamp_ns == second.stamp_ns
    assert repeated.chunk is new.chunk
    assert repeated.chunk.observation_stamp_ns == first.stamp_ns
    assert repeated.inference_s == 0.0


@pytest.mark.parametrize("source", [ControlSource.HUMAN, ControlSource.HOLD])
def test_every_tick_is_predicted_anew_while_somebody_else_drives(runner, policy, observe, source):
    causes = drive(runner, observe, range(4), source)

    assert causes == [Cause.NO_CHUNK, Cause.NOT_DRIVING, Cause.NOT_DRIVING, Cause.NOT_DRIVING]
    assert len(policy.predicted) == 4


def test_a_chunk_shorter_than_replan_steps_is_predicted_anew_at_its_end(runner, policy, observe):
    policy.rows = 2

    assert drive(runner, observe, range(4)) == [Cause.NO_CHUNK, Cause.IN_FORCE, Cause.CHUNK_USED, Cause.IN_FORCE]


@pytest.mark.parametrize("tick", [2, 21, -3])
def test_a_jump_of_the_stamp_is_a_new_trial_in_lockstep(runner, observe, tick):
    assert drive(runner, observe, [0, tick]) == [Cause.NO_CHUNK, Cause.NEW_TRIAL]


def test_out_of_lockstep_skipped_observations_are_no_new_trial(policy, contract, clock, observe):
    runner = PolicyRunner(policy, contract, replan_steps=4, clock=clock)

    assert drive(runner, observe, [0, 2, 4, 15]) == [
        Cause.NO_CHUNK,
        Cause.IN_FORCE,
        Cause.CHUNK_USED,
        Cause.NEW_TRIAL,
    ]


def test_reset_forgets_the_chunk(runner, observe):
    drive(runner, observe, [0])
    runner.reset()

    assert drive(runner, observe, [1]) == [Cause.NO_CHUNK]


def test_inference_is_timed_by_the_clock_passed_in(policy, contract, clock, observe):
    clock.step = 0.25
    runner = PolicyRunner(policy, contract, replan_steps=3, clock=clock)
    observation = observe(0)

    assert runner.answer(observation, observation.stamp_ns).inference_s == 0.25


def fail(_chunk):
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (fail, "inference failed: RuntimeError: out of memory"),
        (lambda c: None, "the policy returned NoneType, not an ActionChunk"),
        (lambda c: dataclasses.replace(c, values=c.values * np.nan), "the policy's actions are not finite"),
        (lambda c: dataclasses.replace(c, values=c.values + np.inf), "the policy's actions are not finite"),
        (lambda c: dataclasses.replace(c, log_probs=c.log_probs * np.nan), "the policy's log_probs are not finite"),
        (lambda c: dataclasses.replace(c, values=c.values[:, :6]), "actions have shape (4, 6), the contract says"),
        (lambda c: dataclasses.replace(c, values=c.values[0]), "actions have shape (7,), the contract says (rows, 7)"),
        (lambda c: dataclasses.replace(c, values=c.values[:0]), "actions have shape (0, 7)"),
        (lambda c: dataclasses.replace(c, log_probs=c.log_probs[:2]), "log_probs have shape (2,)"),
        (lambda c: dataclasses.replace(c, observation_stamp_ns=1), "the policy's chunk is for stamp 1 ns"),
        (lambda c: dataclasses.replace(c, period_ns=1), "period 1 ns"),
    ],
)
def test_a_bad_prediction_is_a_fault_and_the_next_tick_tries_again(runner, policy, observe, change, fault):
    good = policy.change
    policy.change = change
    first, second = observe(0), observe(1)
    answer = runner.answer(first, first.stamp_ns)

    assert answer.chunk is None
    assert answer.cause == Cause.FAULT
    assert answer.observation_stamp_ns == first.stamp_ns
    assert fault in answer.fault
    policy.change = good
    assert runner.answer(second, second.stamp_ns).cause == Cause.NO_CHUNK


def test_a_fault_takes_the_chunk_in_force_away(runner, policy, observe):
    drive(runner, observe, range(3))
    policy.change = fail
    answer = runner.answer(observe(3), observe(3).stamp_ns)

    assert answer.chunk is None


def test_an_old_observation_causes_no_action(runner, policy, observe):
    observation = observe(0)

    assert runner.answer(observation, observation.stamp_ns + 500_000_000).chunk is not None
    answer = runner.answer(observe(1), observe(1).stamp_ns + 501_000_000)

    assert answer.chunk is None
    assert answer.fault == "observation is 0.501 s old, max_age_s = 0.5 (test contract)"
    assert len(policy.predicted) == 1


def test_a_future_observation_causes_no_action(runner, observe):
    # one period and the tolerance are allowed: a simulated clock moves in steps
    assert runner.answer(observe(0), observe(0).stamp_ns - 70_000_000).chunk is not None
    answer = runner.answer(observe(1), observe(1).stamp_ns - 71_000_000)

    assert answer.chunk is None
    assert answer.fault.startswith("observation is stamped 0.071 s in the future, at most 0.070 s is allowed")


def test_an_observation_that_does_not_fit_the_contract_causes_no_action(runner, policy, observe):
    observation = dataclasses.replace(observe(0), images={})
    answer = runner.answer(observation, observation.stamp_ns)

    assert answer.chunk is None
    assert "image 'front' is missing" in answer.fault
    assert policy.predicted == []


def test_replan_steps_below_one_is_refused(policy, contract, clock):
    with pytest.raises(ConfigError, match="replan_steps = 0 must be at least 1"):
        PolicyRunner(policy, contract, replan_steps=0, clock=clock)
