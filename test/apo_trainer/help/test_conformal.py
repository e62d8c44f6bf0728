"""The threshold keeps its promise of false alarms, for any distribution."""

import numpy as np
import pytest

from apo_trainer.help.conformal import conformal_threshold, least_episodes

SCORES = [9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0]


@pytest.mark.parametrize(("alpha", "threshold"), [(0.1, 9.0), (0.2, 8.0), (0.25, 8.0), (0.5, 5.0)])
def test_the_threshold_has_the_rank_of_a_finite_sample(alpha, threshold):
    # ranks ceil(10 (1 - alpha)): 9, 8, 8, 5
    assert conformal_threshold(SCORES, alpha) == threshold


@pytest.mark.parametrize(("alpha", "least"), [(0.5, 1), (0.2, 4), (0.1, 9), (0.05, 19), (0.01, 99)])
def test_the_least_number_of_episodes(alpha, least):
    assert least_episodes(alpha) == least
    assert conformal_threshold(list(range(least)), alpha) == least - 1
    with pytest.raises(ValueError, match=f"{least - 1} unaided successes to calibrate on, at least {least} are needed"):
        conformal_threshold(list(range(least - 1)), alpha)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1])
def test_a_share_that_is_none_is_rejected(alpha):
    with pytest.raises(ValueError, match="must be above 0 and below 1"):
        conformal_threshold(SCORES, alpha)


def test_a_score_that_is_not_finite_is_rejected():
    with pytest.raises(ValueError, match="not finite"):
        conformal_threshold([*SCORES, float("nan")], 0.1)


@pytest.mark.parametrize(("n", "alpha"), [(9, 0.1), (25, 0.1), (40, 0.05), (7, 0.25)])
@pytest.mark.parametrize("kind", ["normal", "heavy", "ties"])
def test_new_episodes_exceed_the_threshold_as_rarely_as_stated(n, alpha, kind):
    """4000 streams: the share of alarms is between alpha - 1 / (n + 1) and alpha, less with ties."""
    rng = np.random.default_rng(7)
    draw = {
        "normal": rng.standard_normal,
        "heavy": rng.standard_cauchy,
        "ties": lambda shape: rng.integers(0, 3, shape).astype(float),
    }[kind]
    streams = draw((4000, n + 1))
    share = np.mean([stream[-1] > conformal_threshold(stream[:-1], alpha) for stream in streams])

    error = 3 * np.sqrt(alpha * (1 - alpha) / 4000)
    assert share <= alpha + error
    if kind != "ties":
        assert share >= alpha - 1 / (n + 1) - error
