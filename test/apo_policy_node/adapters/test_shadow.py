"""A candidate's actions beside those of the policy and of the operator."""

import numpy as np
import pytest

from apo_core.adapters.trial import ShadowCounts
from apo_core.errors import AdapterError
from apo_policy_node.adapters.shadow import Shadow
from apo_policy_node.inference.runner import Answer, Cause


@pytest.fixture
def woken() -> list[None]:
    return []


@pytest.fixture
def shadow(contract, woken) -> Shadow:
    """Of a contract whose ranges are -1..1."""
    made = Shadow(contract, lambda: woken.append(None))
    made.start(ShadowCounts())
    return made


@pytest.fixture
def serve(shadow, policy, observe):
    """The policy answers the observation of a tick with all values at `level` / 255."""

    def answer(tick: int, level: int = 0, cause: Cause = Cause.CHUNK_USED) -> int:
        observation = observe(tick, level)
        shadow.observed(observation)
        shadow.answered(Answer(observation.stamp_ns, policy.predict(observation), cause))
        return observation.stamp_ns

    return answer


def always(value: float):
    return lambda observation: np.full(7, value, np.float32)


def test_a_step_is_the_distance_to_the_serving_policys_action(shadow, serve, woken):
    serve(0)
    assert len(woken) == 1
    assert shadow.step(always(0.5)) == ShadowCounts(steps=1, disagreement=0.5)
    serve(1)
    assert shadow.step(always(0.0)) == ShadowCounts(steps=2, disagreement=0.25)
    assert len(woken) == 2


def test_the_newest_answer_counts_and_wakes_once(shadow, serve, woken):
    serve(0, level=0)
    serve(1, level=255)
    assert len(woken) == 1
    assert shadow.step(always(1.0)) == ShadowCounts(steps=1, disagreement=0.0)
    assert shadow.step(always(1.0)) == ShadowCounts(steps=1, disagreement=0.0)


@pytest.mark.parametrize("driven_first", [True, False])
def test_a_correction_is_the_distance_of_both_to_the_operators_action(shadow, serve, driven_first):
    stamp_ns = serve(0)
    if driven_first:
        shadow.driven(stamp_ns, np.full(7, 0.25, np.float32))
        counts = shadow.step(always(0.5))
    else:
        shadow.step(always(0.5))
        shadow.driven(stamp_ns, np.full(7, 0.25, np.float32))
        counts = shadow.step(always(0.5))
    assert counts == ShadowCounts(steps=1, disagreement=0.5, corrections=1, error=0.25, serving_error=0.25)


def test_a_chunk_in_force_and_a_fault_count_for_nothing(shadow, serve, observe, woken):
    serve(0, cause=Cause.IN_FORCE)
    shadow.observed(observe(1))
    shadow.answered(Answer(observe(1).stamp_ns, None, Cause.FAULT, "no action"))
    assert woken == [] and shadow.step(always(0.0)) == ShadowCounts()


def test_it_goes_on_from_what_was_counted_before(shadow, serve):
    shadow.start(ShadowCounts(steps=3, disagreement=0.5, corrections=1, error=0.5, serving_error=0.0))
    stamp_ns = serve(0)
    shadow.driven(stamp_ns, np.zeros(7, np.float32))
    assert shadow.step(always(0.5)) == ShadowCounts(4, 0.5, 2, 0.5, 0.0)


def test_nothing_is_kept_while_it_is_stopped(shadow, serve, woken):
    serve(0)
    shadow.stop()
    serve(1)
    assert len(woken) == 1 and shadow.step(always(1.0)).steps == 0


def test_an_error_of_the_candidate_is_raised(shadow, serve):
    def fails(observation):
        raise AdapterError("not finite")

    serve(0)
    with pytest.raises(AdapterError, match="not finite"):
        shadow.step(fails)


def test_operators_actions_without_an_answer_do_not_pile_up(shadow, serve):
    for stamp_ns in range(1000):
        shadow.driven(stamp_ns, np.zeros(7, np.float32))
    shadow.driven(serve(0), np.zeros(7, np.float32))
    assert shadow.step(always(0.0)).corrections == 1
