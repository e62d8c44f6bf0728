"""The trial of a candidate: draws before episodes, what counts, how it ends."""

import dataclasses
import random

import pytest

from apo_core.adapters.trial import ShadowCounts, Stage, Trial, TrialLimits, TrialOutcome

NOW = "2026-01-02T03:04:05Z"
LIMITS = TrialLimits(shadow_steps=10, trial_takeovers=3)


@pytest.fixture
def canary() -> Trial:
    """Adapter 7 beside adapter 4, whose draws have begun."""
    return Trial(7, 4, limits=LIMITS).shadowed(ShadowCounts(steps=10))


def episode(trial: Trial, own: bool, success: bool = True, takeovers: int = 0) -> Trial:
    """A drawn episode with its outcome; `own`: of the candidate."""
    name = f"e{len(trial.episodes)}"
    outcome = TrialOutcome.SUCCESS if success else TrialOutcome.FAILURE
    drawn = trial.drawn(0.0 if own else 0.9, NOW).begun(name)
    return drawn.ended(name, outcome, takeovers, NOW, versions=(7 if own else 4,))


def test_draws_begin_after_the_shadow(canary):
    trial = Trial(7, 4, limits=LIMITS)
    assert trial.shadowed(ShadowCounts(steps=9)).stage is Stage.SHADOW
    assert not trial.wants_draw and canary.wants_draw
    with pytest.raises(ValueError, match="adapter 7 needs no draw"):
        trial.drawn(0.1, NOW)
    assert canary.stage is Stage.CANARY and canary.is_open
    with pytest.raises(ValueError, match="in its shadow stage no more"):
        canary.shadowed(ShadowCounts(steps=11))


def test_a_draw_comes_before_its_episode_and_one_at_a_time(canary):
    drawn = canary.drawn(0.49, NOW)
    assert (drawn.waiting.version, drawn.waiting.drawn_utc) == (7, NOW) and not drawn.wants_draw
    assert canary.drawn(0.5, NOW).waiting.version == 4
    with pytest.raises(ValueError, match="needs no draw"):
        drawn.drawn(0.1, NOW)
    begun = drawn.begun("e1")
    assert begun.waiting is None and begun.wants_draw
    assert (begun.place("e1"), begun.place("e2"), begun.place("")) == (0, None, None)


def test_an_episode_without_a_draw_is_not_part_of_it(canary):
    assert canary.begun("e1") == canary
    assert canary.ended("e1", TrialOutcome.SUCCESS, 0, NOW) == canary
    drawn = canary.drawn(0.0, NOW)
    assert drawn.ended("e1", TrialOutcome.FAILURE, 0, NOW) == drawn


def test_a_success_with_a_takeover_is_none(canary):
    trial = episode(episode(canary, True), True, takeovers=1)
    trial = episode(episode(trial, False, success=False), False, takeovers=2)
    assert trial.counts(7) == (1, 1) and trial.counts(4) == (0, 2)
    assert trial.summary() == "adapter 7 succeeded unaided in 1 of 2, adapter 4 succeeded unaided in 0 of 2"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"outcome": TrialOutcome.VOID}, "it has no outcome"),
        ({"versions": (4, 7)}, "adapter 4 drove in it"),
        ({"versions": (0,)}, "the base policy drove in it"),
        ({"void": "it began too early"}, "it began too early"),
    ],
)
def test_a_void_episode_counts_for_neither(canary, facts, reason):
    facts = {"outcome": TrialOutcome.SUCCESS, "versions": (7,), **facts}
    trial = canary.drawn(0.0, NOW).begun("e1").ended("e1", takeovers=3, now_utc=NOW, **facts)
    assert trial.counts(7) == trial.counts(4) == (0, 0)
    assert trial.takeovers_in_a_row == 0 and trial.is_open
    assert (trial.episodes[0].outcome, trial.episodes[0].reason) == (TrialOutcome.VOID, reason)


def test_an_episode_that_was_driven_by_the_operator_alone_counts(canary):
    trial = canary.drawn(0.0, NOW).begun("e1").ended("e1", TrialOutcome.SUCCESS, 1, NOW, versions=())
    assert trial.counts(7) == (0, 1)


def test_an_episode_whose_end_was_not_seen_is_void(canary):
    trial = canary.drawn(0.0, NOW).begun("e1").drawn(0.9, NOW).begun("e2")
    assert [each.reason for each in trial.episodes] == ["its end was not seen", ""]
    assert trial.place("e2") == 1


def test_a_discarded_episode_counts_no_more(canary):
    trial = episode(episode(canary, True), False)
    assert trial.withdrawn("e0").counts(7) == (0, 0)
    assert trial.withdrawn("e0").episodes[0].reason == "it was discarded"
    assert trial.withdrawn("unknown") == trial
    drawn = trial.drawn(0.0, NOW)
    assert drawn.withdrawn("") == drawn


def test_what_was_drawn_or_ran_at_a_restart_is_void(canary):
    trial = episode(canary, True).drawn(0.0, NOW).begun("e1").drawn(0.0, NOW)
    resumed = trial.resumed()
    assert [each.outcome for each in resumed.episodes] == ["SUCCESS", "VOID", "VOID"]
    assert resumed.wants_draw


def test_takeovers_in_a_row_end_it_at_once(canary):
    trial = episode(canary, True, takeovers=1)
    trial = episode(trial, True)  # not in a row
    for _ in range(2):
        trial = episode(trial, True, takeovers=1)
        trial = episode(trial, False, takeovers=1)  # of the other policy
    assert trial.takeovers_in_a_row == 2 and trial.is_open
    trial = episode(trial, True, success=False, takeovers=4)
    assert (trial.stage, trial.decided_utc) == (Stage.ROLLED_BACK, NOW)
    assert trial.reason == "the operator took over in 3 of its episodes in a row"
    assert trial.text == f"adapter 7 rolled back: {trial.reason}"


def test_a_better_candidate_is_promoted_and_a_worse_one_rolled_back(canary):
    better = worse = canary
    while better.is_open:
        better = episode(episode(better, False, success=False), True)
    assert better.stage is Stage.PROMOTED
    assert better.reason == (
        "better than adapter 4: adapter 7 succeeded unaided in 4 of 4, adapter 4 succeeded unaided in 0 of 4"
    )
    while worse.is_open:
        worse = episode(worse, True, success=False)
        worse = episode(worse, False) if worse.is_open else worse
    assert worse.stage is Stage.ROLLED_BACK and worse.reason.startswith("worse than adapter 4")


def test_a_trial_that_does_not_decide_keeps_what_serves(canary):
    trial = dataclasses.replace(canary, limits=dataclasses.replace(LIMITS, trial_episodes=6))
    for _ in range(3):
        trial = episode(episode(trial, True), False)
    assert trial.stage is Stage.ROLLED_BACK and trial.reason.startswith("undecided: adapter 7 succeeded unaided in 3")
    with pytest.raises(ValueError, match="was rolled_back already"):
        trial.decided(Stage.PROMOTED, NOW, "by hand")


def test_a_decision_leaves_no_draw_open(canary):
    trial = canary.drawn(0.0, NOW).begun("e1").drawn(0.0, NOW).decided(Stage.ROLLED_BACK, NOW, "by hand")
    assert [each.reason for each in trial.episodes] == 2 * ["the trial ended before it"]
    assert trial.ended("e1", TrialOutcome.SUCCESS, 0, NOW) == trial == trial.withdrawn("e1") == trial.resumed()


def test_the_text_has_the_counts_and_not_the_draw(canary):
    assert Trial(7, 4, limits=LIMITS).text == "adapter 7 shadow: 0 of 10 steps"
    trial = episode(canary, True)
    assert trial.drawn(0.0, NOW).text == trial.drawn(0.9, NOW).text
    assert trial.text == (
        "adapter 7 canary: adapter 7 succeeded unaided in 1 of 1, adapter 4 succeeded unaided in 0 of 0"
    )


def simulated(rate: float, other: float, seed: int) -> Trial:
    rng = random.Random(seed)
    trial = Trial(7, 4, limits=TrialLimits(shadow_steps=0, trial_takeovers=1000)).shadowed(ShadowCounts())
    while trial.is_open:
        drawn = trial.drawn(rng.random(), NOW)
        success = rng.random() < (rate if drawn.waiting.version == 7 else other)
        trial = drawn.begun("e").ended("e", TrialOutcome.SUCCESS if success else TrialOutcome.FAILURE, 0, NOW)
    return trial


def test_good_candidates_are_promoted_and_bad_ones_rolled_back():
    good, bad, equal = ([simulated(rate, 0.5, seed) for seed in range(20)] for rate in (0.9, 0.1, 0.5))
    assert sum(trial.stage is Stage.PROMOTED for trial in good) == 20
    assert sum(trial.stage is Stage.PROMOTED for trial in bad) == 0
    # each of 20 is promoted wrongly with a probability of 0.05 at most
    assert sum(trial.stage is Stage.PROMOTED for trial in equal) <= 3
    assert sorted(len(trial.episodes) for trial in good)[10] < 80
