import numpy as np
import pytest

from apo_core.contract.specs import ActionSpec
from apo_episodes.takeover_windows import (
    StepFacts,
    Window,
    disagreement_start,
    fitted_window,
    stall_start,
    window_statistics,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("remaining", "acted", "start"),
    [
        ([0.3, 0.2, 0.1, 0.1, 0.1], [1, 1, 1, 1, 1], 3),
        ([0.3, 0.2, 0.1], [1, 1, 1], 3),  # progress up to the end
        ([0.1, 0.2, 0.3], [1, 1, 1], 1),  # none at all
        ([0.3, 0.2, 0.2, NAN], [1, 1, 1, 0], 2),  # the last policy step counts
        ([0.3, 0.2, NAN], [1, 1, 1], None),
        ([0.3, NAN, NAN], [1, 0, 0], None),  # one value shows no progress
        ([0.3, 0.2], [0, 0], None),
        ([], [], None),
    ],
)
def test_a_stall_begins_after_the_last_progress(remaining, acted, start):
    assert stall_start(np.array(remaining, np.float32), np.array(acted, bool), 0.01) == start


@pytest.mark.parametrize(("tolerance", "start"), [(0.0, 4), (0.004, 4), (0.02, 1)])
def test_progress_within_the_tolerance_is_none(tolerance, start):
    remaining = np.array([0.3, 0.295, 0.29, 0.285], np.float32)
    assert stall_start(remaining, np.ones(4, bool), tolerance) == start


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_disagreement_begins_where_policy_and_intent_part():
    policy, acted = column(0.5, 0.5, -0.5, -0.5), np.ones(4, bool)
    human, shadow = column(0.4, 0.6), column(-0.5, -0.5)
    assert disagreement_start(policy, acted, human, shadow, 0.2) == 2
    assert disagreement_start(policy, acted, human, shadow, 1.5) == 4  # nothing in dispute
    assert disagreement_start(policy, acted, column(NAN, NAN), shadow, 0.2) is None
    assert disagreement_start(policy, np.zeros(4, bool), human, shadow, 0.2) is None


def test_steps_of_others_are_passed_over():
    policy = column(0.5, -0.5, 0.5, -0.5)
    acted = np.array([True, True, False, True])
    assert disagreement_start(policy, acted, column(0.5), column(NAN), 0.2) == 1


def test_facts_are_scaled_by_the_limits_and_clipped():
    limits = ActionSpec(("vx", "grip"), ("m/s", "1"), (-2.0, 0.0), (2.0, 1.0))
    actions = np.array([[1.0, 0.5], [5.0, 0.0], [NAN, NAN]], np.float32)
    remaining = np.array([0.2, 0.1, 0.1], np.float32)
    facts = StepFacts.of(limits, actions, actions[::-1], remaining)
    np.testing.assert_array_equal(facts.policy_actions, [[0.5, 0.0], [1.0, -1.0], [NAN, NAN]])
    np.testing.assert_array_equal(facts.human_actions, [[NAN, NAN], [1.0, -1.0], [0.5, 0.0]])
    assert facts.task_remaining is remaining
    assert StepFacts.of(limits, actions, actions).task_remaining is None


def test_the_fitted_window_is_the_median_of_what_was_found():
    found = [Window(10 - n, 10, "stalled") for n in (0, 3, 4, 9, 40)]
    assert fitted_window(found) == 4
    assert fitted_window([*found, Window(0, 10, "last_k", fallback=True)]) == 4
    assert fitted_window([Window(5, 5, "stalled")]) == 1
    assert fitted_window([Window(0, 10, "last_k", fallback=True)]) is None
    assert fitted_window([]) is None


def test_statistics_of_windows():
    found = [Window(6, 10, "stalled"), Window(5, 5, "stalled"), Window(0, 10, "last_k", fallback=True)]
    assert window_statistics(found, "stalled") == {
        "rule": "stalled",
        "number": 3,
        "min_steps": 0,
        "median_steps": 4.0,
        "max_steps": 10,
        "fallbacks": 1,
    }
    assert window_statistics([], "last_k") == {
        "rule": "last_k",
        "number": 0,
        "min_steps": None,
        "median_steps": None,
        "max_steps": None,
        "fallbacks": 0,
    }
