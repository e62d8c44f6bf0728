"""How far one bin passes for another: a Gaussian of their distance."""

from __future__ import annotations

import torch


def log_nearness(places: torch.Tensor, tolerance: float) -> torch.Tensor:
    """-d^2 / 2 s^2 for every two of K places that are d apart, (K, K) in the type of `places` (K,).

    Args:
        places: in bins.
        tolerance: s, bins; above 0.
    """
    return -0.5 * ((places[:, None] - places[None, :]) / tolerance) ** 2


def nearness_of_bins(bins: int, tolerance: float) -> torch.Tensor | None:
    """float32 (bins, bins) with exp(-d^2 / 2 s^2) to choose actions by; None for a tolerance of 0.

    A policy that is likely to move, though to no single bin, would otherwise stand still because one bin means that:
    minimum Bayes risk decoding (arXiv 2108.04718) of one value.
    """
    if not tolerance:
        return None
    return torch.exp(log_nearness(torch.arange(bins, dtype=torch.float32), tolerance))
