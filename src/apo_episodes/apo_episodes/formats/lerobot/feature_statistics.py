"""Statistics in the form of LeRobot's stats.json: min, max, mean, std, count and quantiles of each feature."""

from __future__ import annotations

from typing import Any

import numpy as np

_QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


def moments(values: np.ndarray) -> dict[str, list[Any]]:
    """Of N numbers (N,) or vectors (N, n), above 0: lists of length 1 or n."""
    values = np.asarray(values, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    return {
        "min": values.min(axis=0).tolist(),
        "max": values.max(axis=0).tolist(),
        "mean": values.mean(axis=0).tolist(),
        "std": values.std(axis=0).tolist(),
        "count": [len(values)],
        **{name: np.quantile(values, share, axis=0).tolist() for name, share in _QUANTILES.items()},
    }


class PixelMoments:
    """Statistics of the pixels of images, a channel at a time, from counts of their 256 values."""

    def __init__(self) -> None:
        self._counts = np.zeros((3, 256), np.int64)

    def update(self, image: np.ndarray) -> None:
        """Takes an image in, uint8 (H, W, 3)."""
        for channel in range(3):
            self._counts[channel] += np.bincount(image[:, :, channel].reshape(-1), minlength=256)

    def add(self, other: PixelMoments) -> None:
        """Takes in what another has seen."""
        self._counts += other._counts

    def moments(self, count: int) -> dict[str, list[Any]]:
        """The statistics in [0, 1], each (3, 1, 1); `count` is the number of frames."""
        levels = np.arange(256) / 255.0
        share = self._counts / self._counts.sum(axis=1, keepdims=True)
        mean = share @ levels
        seen = self._counts > 0
        below = np.cumsum(share, axis=1)
        numbers = {
            "min": levels[seen.argmax(axis=1)],
            "max": levels[255 - seen[:, ::-1].argmax(axis=1)],
            "mean": mean,
            "std": np.sqrt(np.maximum(share @ levels**2 - mean**2, 0)),
            **{name: levels[(below >= part - 1e-12).argmax(axis=1)] for name, part in _QUANTILES.items()},
        }
        return {name: value.reshape(3, 1, 1).tolist() for name, value in numbers.items()} | {"count": [count]}
