"""Replayed trials of scripted outcomes."""

import numpy as np
import pytest

from apo_core.adapters.trial import TrialLimits
from apo_experiments.loop.simulated_loop import TrialFacts
from apo_experiments.staged.replay import Ending, Replayed, is_unaided, replay


def stream(letters: str) -> list[TrialFacts]:
    """A seed a letter: S succeeds alone in 30 steps, T after a takeover that drives 5 of 40, F fails alone in 50."""
    kinds = {"S": (True, 30, 0, 0), "T": (True, 40, 5, 1), "F": (False, 50, 0, 0)}
    return [TrialFacts(seed, *kinds[letter]) for seed, letter in enumerate(letters)]


def played(candidate: str, base: str, seed: int = 0, **limits) -> Replayed:
    return replay(stream(candidate), stream(base), TrialLimits(**limits), np.random.default_rng(seed))


def test_a_success_counts_only_without_a_takeover():
    assert [is_unaided(episode) for episode in stream("STF")] == [True, False, False]


def test_a_good_candidate_is_promoted():
    assert played("SSSS", "FFFF") == Replayed(Ending.PROMOTED, 8, 340, 0)


def test_a_bad_candidate_is_rolled_back():
    assert played("FFFF", "SSSS") == Replayed(Ending.WORSE, 8, 300, 0)


def test_an_equal_candidate_stays_undecided():
    assert played("SFSF", "FSFS", trial_episodes=60) == Replayed(Ending.UNDECIDED, 60, 2480, 0)


def test_takeovers_in_a_row_end_a_trial_before_the_evidence():
    made = played("TTTT", "TTTT", trial_takeovers=3)
    assert made == Replayed(Ending.TAKEOVERS, 8, 320, 40)


def test_the_same_draws_give_the_same_trial():
    assert played("SSSF", "SFFF", seed=3) == played("SSSF", "SFFF", seed=3)
    assert played("SSSF", "SFFF", seed=3) != played("SSSF", "SFFF", seed=4)


def test_the_shadow_stage_is_passed_over():
    assert played("SSSS", "FFFF", shadow_steps=1_000_000).ending is Ending.PROMOTED


@pytest.mark.parametrize(("candidate", "base"), [("", ""), ("SS", "SSS"), ("S", "")])
def test_policies_need_the_same_seeds(candidate, base):
    with pytest.raises(ValueError, match="an episode of each of the same seeds"):
        played(candidate, base)
