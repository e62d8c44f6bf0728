"""Logistic regression with a quadratic penalty. Pure, deterministic."""

from __future__ import annotations

import numpy as np

from apo_core.help.features import FEATURES
from apo_core.help.score import HelpScore, Weight

PENALTY = 0.01  # of the squared weights of standardised features, beside the mean loss
_ITERATIONS = 100
_TOLERANCE = 1e-10
_LEAST_SCALE = 1e-6  # of a feature that changes at all


def fit(features: np.ndarray, labels: np.ndarray, names: tuple[str, ...] = FEATURES) -> HelpScore:
    """The score, without a threshold (infinite), that is likeliest for the labels.

    Minimises mean(log(1 + exp(-y s))) + PENALTY / 2 |w|^2, s = b + w (x - mean) / scale, y = +-1, by Newton's method
    with halved steps. Features that are unknown somewhere, or never change, are left out.

    Args:
        features: float64 (n, F) in the order of FEATURES; NaN: unknown.
        labels: bool (n,).
        names: those that may be used.

    Raises:
        ValueError: labels of one kind only, or no feature to use.
    """
    if labels.all() or not labels.any():
        raise ValueError(f"{int(labels.sum())} of {len(labels)} chunks are near trouble: both kinds are needed")
    used = [name for name in names if _is_usable(features[:, FEATURES.index(name)])]
    if not used:
        raise ValueError(f"no feature of {', '.join(names)} is known and changes")
    raw = features[:, [FEATURES.index(name) for name in used]]
    mean, scale = raw.mean(axis=0), raw.std(axis=0)
    x = np.column_stack([(raw - mean) / scale, np.ones(len(raw))])
    y = np.where(labels, 1.0, -1.0)
    solution = _newton(x, y)
    weights = {
        name: Weight(float(m), float(s), float(w)) for name, m, s, w in zip(used, mean, scale, solution, strict=False)
    }
    return HelpScore(weights, float(solution[-1]), float("inf"))


def _is_usable(column: np.ndarray) -> bool:
    return bool(np.isfinite(column).all()) and float(column.std()) > _LEAST_SCALE


def _newton(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights (F + 1,) of x (n, F + 1), whose last column is 1 and has no penalty."""
    penalty = np.full(x.shape[1], PENALTY)
    penalty[-1] = 0.0

    def loss(w: np.ndarray) -> float:
        return float(np.logaddexp(0, -y * (x @ w)).mean() + 0.5 * np.sum(penalty * w**2))

    w = np.zeros(x.shape[1])
    for _ in range(_ITERATIONS):
        wrong = 0.5 * (1 - np.tanh(0.5 * y * (x @ w)))  # 1 / (1 + exp(y s)), without overflow
        gradient = -(x.T @ (y * wrong)) / len(x) + penalty * w
        curvature = (x.T * (wrong * (1 - wrong))) @ x / len(x) + np.diag(penalty + 1e-12)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while loss(w - size * step) > loss(w) and size > _TOLERANCE:
            size /= 2
        w = w - size * step
        if np.abs(size * step).max() < _TOLERANCE:
            break
    return w
