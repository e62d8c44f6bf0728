"""When a new chunk is predicted, and what becomes a fault instead of an action."""

import dataclasses

import numpy as np
import pytest

from apo_core.errors import ConfigError
from apo_core.types import ControlSource
from apo_policy_node.inference.chunking import Ensemble, RealTime
from apo_policy_node.inference.runner import Cause, PolicyRunner
from apo_policy_node.inference.uncertainty import HelpRequest


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
def test_every_tick_is_predicted_while_another_source_drives(runner, policy, observe, source):
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


def test_reset_drops_the_chunk(runner, observe):
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
        (lambda c: dataclasses.replace(c, values=c.values[:, :6]), "actions have shape (4, 6), the contract has"),
        (lambda c: dataclasses.replace(c, values=c.values[0]), "actions have shape (7,), the contract has (rows, 7)"),
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


@pytest.mark.parametrize("entropies", [np.zeros(2, np.float32), np.full(4, np.nan, np.float32)])
def test_bad_entropies_are_a_fault(runner, policy, observe, entropies):
    policy.change = lambda c: dataclasses.replace(c, entropies=entropies)

    assert "entropies must be 4 finite numbers" in runner.answer(observe(0), observe(0).stamp_ns).fault


def test_a_new_chunk_comes_with_its_uncertainty(policy, contract, clock, observe):
    runner = PolicyRunner(policy, contract, 2, clock, help_request=HelpRequest(1.5, 1, rows=2))
    new, repeated = (runner.answer(observe(tick), observe(tick).stamp_ns) for tick in (0, 1))

    assert (new.uncertainty.entropy, new.uncertainty.log_prob, new.uncertainty.help_wanted) == (2.0, -1.0, True)
    assert new.uncertainty.observation_stamp_ns == observe(0).stamp_ns
    assert repeated.uncertainty is None


def test_rows_are_requested_from_the_policy(policy, contract, clock, observe):
    runner = PolicyRunner(policy, contract, 2, clock, rows=3)

    assert len(runner.answer(observe(0), observe(0).stamp_ns).chunk.values) == 3


def test_actions_that_are_too_old_after_the_inference_are_none(runner, observe):
    observation = observe(0)
    answer = runner.answer(observation, observation.stamp_ns + 400_000_000)

    assert runner.checked(answer, observation.stamp_ns + 500_000_000) is answer
    late = runner.checked(answer, observation.stamp_ns + 501_000_000)
    assert late.chunk is None
    assert "the observation behind the actions is 0.501 s old, max_age_s = 0.5 (test contract)" in late.fault
    assert runner.cause_to_replan(observe(1).stamp_ns) == Cause.NO_CHUNK


def test_a_chunk_whose_observation_is_too_old_serves_no_longer(policy, contract, clock, observe):
    policy.rows = 20
    runner = PolicyRunner(policy, contract, replan_steps=15, clock=clock)

    assert drive(runner, observe, [0, 10]) == [Cause.NO_CHUNK, Cause.IN_FORCE]
    assert drive(runner, observe, [11]) == [Cause.CHUNK_USED]


def real_time(policy, contract, clock, lockstep=False) -> PolicyRunner:
    return PolicyRunner(policy, contract, 2, clock, lockstep, chunking=RealTime(max_rows=2, max_age_ns=500_000_000))


def test_committed_rows_cover_the_slowest_recent_inference(policy, contract, clock, observe):
    runner = real_time(policy, contract, clock)
    clock.step = 0.06  # an inference takes 60 ms: two periods
    levels = {0: 100, 2: 200, 4: 40}
    for tick in range(5):
        observation = observe(tick, levels.get(tick, 0))
        answer = runner.answer(observation, observation.stamp_ns)
        runner.executed(ControlSource.POLICY)

    assert policy.committed[0] is None
    # each chunk begins with the last two rows of the one before
    np.testing.assert_allclose(policy.committed[1], np.full((2, 7), 100 / 255), rtol=1e-6)
    np.testing.assert_allclose(policy.committed[2], np.full((2, 7), 200 / 255), rtol=1e-6)
    np.testing.assert_allclose(answer.chunk.values[:, 0], [200 / 255, 200 / 255, 40 / 255, 40 / 255], rtol=1e-6)


def test_nothing_is_committed_in_lockstep_or_after_a_change(policy, contract, clock, observe):
    clock.step = 0.06
    drive(real_time(policy, contract, clock, lockstep=True), observe, range(3))
    swapped = real_time(policy, contract, clock)
    drive(swapped, observe, range(2))
    policy.swap(0.5, 1)
    drive(swapped, observe, [2])
    drive(real_time(policy, contract, clock), observe, range(4), ControlSource.HUMAN)

    assert policy.committed == [None] * 8


def test_an_ensemble_of_the_runner_begins_anew_after_a_gap(policy, contract, clock, observe):
    runner = PolicyRunner(policy, contract, 1, clock, chunking=Ensemble(0.0, 500_000_000))
    for tick, level in ((0, 51), (1, 153)):
        answer = runner.answer(observe(tick, level), observe(tick).stamp_ns)
        runner.executed(ControlSource.POLICY)
    np.testing.assert_allclose(answer.chunk.values[:, 0], [0.4, 0.4, 0.4, 0.6], rtol=1e-5)
    after = runner.answer(observe(20, 255), observe(20).stamp_ns)

    np.testing.assert_allclose(after.chunk.values, 1.0)


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


def test_replan_steps_below_one_is_rejected(policy, contract, clock):
    with pytest.raises(ConfigError, match="replan_steps = 0 must be at least 1"):
        PolicyRunner(policy, contract, replan_steps=0, clock=clock)


def test_help_is_evaluated_with_the_state_and_what_was_before(policy, contract, clock, observe):
    class Recording(HelpRequest):
        def evaluate(self, chunk, state=None, continued=False):
            seen.append((chunk.observation_stamp_ns, sorted(state), continued))
            return super().evaluate(chunk)

    seen: list[tuple] = []
    runner = PolicyRunner(policy, contract, 2, clock, lockstep=True, help_request=Recording(0.0, 1, 2))
    drive(runner, observe, range(4))
    drive(runner, observe, [4], ControlSource.HUMAN)
    drive(runner, observe, [5])

    stamps = [observe(tick).stamp_ns for tick in (0, 2, 4, 5)]
    assert seen == [(stamp, ["ee_pose"], flag) for stamp, flag in zip(stamps, (False, True, True, False), strict=True)]


def test_an_evaluation_of_help_that_fails_is_a_fault(policy, contract, clock, observe):
    class BrokenHelp(HelpRequest):
        def evaluate(self, chunk, state, continued):
            raise ZeroDivisionError("no time has passed")

    runner = PolicyRunner(policy, contract, 3, clock, help_request=BrokenHelp(0.0, 1, 3))
    answer = runner.answer(observe(0), observe(0).stamp_ns)
    assert answer.fault == "inference failed: ZeroDivisionError: no time has passed"
    assert (answer.chunk, answer.cause) == (None, Cause.FAULT)
