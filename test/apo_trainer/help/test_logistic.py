"""The score that fits labels best."""

import numpy as np
import pytest

from apo_core.help.features import FEATURES
from apo_trainer.help.logistic import PENALTY, fit

ENTROPY, DWELL = FEATURES.index("entropy"), FEATURES.index("dwell_s")


def examples(n: int = 4000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Entropy and dwelling decide, with log odds 2 z1 - 1 z2 - 0.5; no other feature is known or changes."""
    rng = np.random.default_rng(seed)
    features = np.full((n, len(FEATURES)), np.nan)
    features[:, FEATURES.index("gripper_changes")] = 3.0
    z = rng.standard_normal((n, 2))
    features[:, ENTROPY], features[:, DWELL] = 5.0 + 2.0 * z[:, 0], 1.0 + 0.1 * z[:, 1]
    odds = 2.0 * z[:, 0] - 1.0 * z[:, 1] - 0.5
    return features, rng.random(n) < 1 / (1 + np.exp(-odds))


def test_weights_come_back_a_little_smaller():
    score = fit(*examples())

    assert set(score.weights) == {"entropy", "dwell_s"}
    assert score.weights["entropy"].mean == pytest.approx(5.0, abs=0.1)
    assert score.weights["entropy"].scale == pytest.approx(2.0, abs=0.1)
    assert score.weights["entropy"].weight == pytest.approx(1.75, abs=0.15)
    assert score.weights["dwell_s"].weight == pytest.approx(-0.9, abs=0.15)
    assert score.bias == pytest.approx(-0.45, abs=0.1)
    assert score.threshold == float("inf")


def test_the_gradient_vanishes_at_the_solution():
    features, labels = examples(500)
    score = fit(features, labels)
    wrong = 1 / (1 + np.exp(-score.score(features))) - labels

    assert wrong.mean() == pytest.approx(0.0, abs=1e-8)
    for name, used in score.weights.items():
        z = (features[:, FEATURES.index(name)] - used.mean) / used.scale
        assert (wrong * z).mean() + PENALTY * used.weight == pytest.approx(0.0, abs=1e-8)


def test_separable_labels_have_finite_weights():
    features, _ = examples(200)
    score = fit(features, features[:, ENTROPY] > 5.0)
    assert 1.0 < score.weights["entropy"].weight < 20.0


def test_the_same_data_give_the_same_score():
    assert fit(*examples(300)) == fit(*examples(300))


def test_labels_of_one_kind_are_rejected():
    features, _ = examples(10)
    with pytest.raises(ValueError, match="0 of 10 chunks are near trouble: both kinds are needed"):
        fit(features, np.zeros(10, bool))


def test_no_feature_to_use_is_rejected():
    with pytest.raises(ValueError, match=r"no feature of entropy, .* is known and changes"):
        fit(np.full((4, len(FEATURES)), np.nan), np.array([True, False, True, False]))
