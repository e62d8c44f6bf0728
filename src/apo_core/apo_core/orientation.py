"""How a picture is turned between two conventions of the same camera."""

from __future__ import annotations

import numpy as np

ORIENTATIONS = ("none", "flip_vertical", "mirror", "rotate_180")  # upside down; left and right exchanged; both


def oriented(image: np.ndarray, orientation: str) -> np.ndarray:
    """A view of an image (H, W, ...). Raises ValueError for an orientation that is none of ORIENTATIONS."""
    if orientation not in ORIENTATIONS:
        raise ValueError(f"orientation = {orientation!r} is none of {', '.join(ORIENTATIONS)}")
    rows = slice(None, None, -1) if orientation in ("flip_vertical", "rotate_180") else slice(None)
    columns = slice(None, None, -1) if orientation in ("mirror", "rotate_180") else slice(None)
    return image[rows, columns]
