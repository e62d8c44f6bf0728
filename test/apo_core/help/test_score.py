"""A score of features, and when it is an alarm."""

import math

import numpy as np

from apo_core.help.features import FEATURES
from apo_core.help.score import HelpScore, Weight

SCORE = HelpScore({"entropy": Weight(2.0, 0.5, 1.0), "dwell_s": Weight(1.0, 2.0, -3.0)}, bias=0.25, threshold=1.5)


def features(**known: float) -> np.ndarray:
    return np.array([known.get(name, math.nan) for name in FEATURES])


def test_a_score_is_the_weighted_sum_of_its_features():
    assert SCORE.score(features(entropy=3.0, dwell_s=2.0)) == 0.25 + 2.0 - 1.5


def test_many_rows_are_scored_at_once():
    rows = np.stack([features(entropy=2.0, dwell_s=1.0), features(entropy=2.5, dwell_s=3.0)])
    assert SCORE.score(rows).tolist() == [0.25, -1.75]


def test_a_score_above_the_threshold_is_an_alarm():
    assert [SCORE.is_alarm(value) for value in (1.4, 1.5, 1.6)] == [False, False, True]


def test_an_unknown_feature_is_no_alarm():
    found = float(SCORE.score(features(entropy=3.0)))
    assert math.isnan(found)
    assert not SCORE.is_alarm(found)
