"""e-processes: literal values, the rate of wrong decisions with continuous looking, and the power they have."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from apo_core.evidence import Evidence, Finding, log_paired, log_unpaired, paired_evidence, unpaired_evidence

STREAMS, ALPHA = 10_000, 0.05
THRESHOLD = math.log(1 / ALPHA)


def test_without_trials_there_is_no_evidence():
    assert paired_evidence(0, 0) == Evidence(0.0, 0.0)
    assert unpaired_evidence(0, 0, 0, 0) == Evidence(pytest.approx(0.0), pytest.approx(0.0))
    assert paired_evidence(0, 0).finding() is Finding.UNDECIDED


@pytest.mark.parametrize(
    ("gained", "lost", "better"),
    [
        # the integral of (2 p)^gained (2 (1 - p))^lost over p in 1/2..1, times 2
        (1, 0, 3 / 2),
        (0, 1, 1 / 2),
        (2, 0, 7 / 3),
        (1, 1, 2 / 3),
        (8, 0, 2**9 / 9 * (1 - 2**-9)),
    ],
)
def test_a_pair_that_differs_counts_as_the_mean_of_its_alternatives(gained, lost, better):
    found = paired_evidence(gained, lost)
    assert math.exp(found.better) == pytest.approx(better, rel=2e-3)
    assert paired_evidence(lost, gained) == Evidence(found.worse, found.better)


@pytest.mark.parametrize(
    ("gained", "lost", "finding"),
    [
        (5, 0, "undecided"),
        (6, 0, "undecided"),
        (7, 0, "better"),
        (0, 7, "worse"),
        (20, 5, "better"),
        (12, 10, "undecided"),
    ],
)
def test_a_finding_needs_twenty_to_one(gained, lost, finding):
    assert paired_evidence(gained, lost).finding() == finding


def test_a_stricter_alpha_needs_more():
    found = paired_evidence(7, 0)
    assert found.finding(0.05) is Finding.BETTER and found.finding(0.01) is Finding.UNDECIDED


def test_one_trial_of_each_policy_has_the_value_of_its_alternatives():
    # two alternatives would be (3/4, 1/4): c = 1/2, a success of the policy counts 3/2; here the mean over the grid
    rates = (np.arange(12) + 0.5) / 12
    ratios = [a / ((a + b) / 2) for a in rates for b in rates if a > b]
    assert math.exp(log_unpaired(1, 0, 0, 0)) == pytest.approx(np.mean(ratios))
    mirrored = unpaired_evidence(9, 1, 3, 7), unpaired_evidence(3, 7, 9, 1)
    assert mirrored[0].better == pytest.approx(mirrored[1].worse) and mirrored[0].better > 1


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("share", [0.5, 0.2])
def test_for_equal_rates_the_expectation_of_a_trial_is_one(rate, share):
    values = np.exp([log_unpaired(*trial, share) for trial in np.eye(4)])
    chances = [share * rate, share * (1 - rate), (1 - share) * rate, (1 - share) * (1 - rate)]
    assert np.dot(values, chances) == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.0, 1.0, math.nan])
def test_a_share_that_draws_one_policy_alone_is_rejected(share):
    with pytest.raises(ValueError, match="must be above 0 and below 1"):
        unpaired_evidence(1, 1, 1, 1, share)


def ever(logs: np.ndarray) -> float:
    """Share of streams (n, t) that ever reach the threshold."""
    return float((logs.max(axis=1) >= THRESHOLD).mean())


def paired_streams(rate: float, other: float, pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Gains and losses so far (STREAMS, pairs) of two independent policies on the same trials."""
    rng = np.random.default_rng(seed)
    one, two = (rng.random((STREAMS, pairs)) < share for share in (rate, other))
    return np.cumsum(one & ~two, axis=1), np.cumsum(two & ~one, axis=1)


TABLE = log_paired(np.arange(201)[:, None], np.arange(201))  # by gains and losses


@pytest.mark.parametrize("rate", [0.2, 0.6])
def test_equal_policies_on_the_same_trials_are_seldom_found_different(rate):
    gained, lost = paired_streams(rate, rate, 200, seed=1)
    # Ville's bound is 0.05; the standard error of 10,000 streams is 0.002
    assert ever(TABLE[gained, lost]) <= ALPHA
    assert ever(TABLE[lost, gained]) <= ALPHA


def test_a_worse_policy_is_hardly_ever_found_better():
    gained, lost = paired_streams(0.4, 0.6, 200, seed=2)
    assert ever(TABLE[gained, lost]) < 0.01


def unpaired_streams(rate: float, other: float, trials: int, share: float, seed: int) -> tuple[np.ndarray, ...]:
    """Successes and failures so far of the policy and the other, (STREAMS, trials) each."""
    rng = np.random.default_rng(seed)
    own = rng.random((STREAMS, trials)) < share
    success = rng.random((STREAMS, trials)) < np.where(own, rate, other)
    return tuple(np.cumsum(part, axis=1) for part in (own & success, own & ~success, ~own & success, ~own & ~success))


@pytest.mark.parametrize(("rate", "share"), [(0.5, 0.5), (0.8, 0.25)])
def test_equal_policies_drawn_at_random_are_seldom_found_different(rate, share):
    own_won, own_lost, other_won, other_lost = unpaired_streams(rate, rate, 100, share, seed=3)
    assert ever(log_unpaired(own_won, own_lost, other_won, other_lost, share)) <= ALPHA
    assert ever(log_unpaired(other_won, other_lost, own_won, own_lost, 1 - share)) <= ALPHA


def test_power_is_near_that_of_a_test_of_a_fixed_number_of_trials():
    gained, lost = paired_streams(0.8, 0.5, 100, seed=4)
    found = ever(TABLE[gained, lost])
    ends = list(zip(gained[:, -1].tolist(), lost[:, -1].tolist(), strict=True))
    p = {end: binomtest(end[0], sum(end), alternative="greater").pvalue if sum(end) else 1.0 for end in set(ends)}
    fixed = float(np.mean([p[end] <= ALPHA for end in ends]))
    assert fixed > 0.99 and found > 0.97
    # and it needs fewer trials: half of the streams are decided after so many
    first = np.argmax(TABLE[gained, lost] >= THRESHOLD, axis=1)
    assert np.median(first[first > 0]) < 50
