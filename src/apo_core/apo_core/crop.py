"""Which part of a camera's picture counts: `none`, `square`, or TOP,LEFT,HEIGHT,WIDTH as shares of the picture."""

from __future__ import annotations

import numpy as np

CROPS = "none, square (the largest one in the middle) or TOP,LEFT,HEIGHT,WIDTH as shares of 0..1"
_ROUNDING = 1e-9


def cropped(image: np.ndarray, crop: str) -> np.ndarray:
    """A view of an image (H, W, ...), at least a pixel a side. Raises ValueError for a crop that is none of CROPS."""
    if crop == "none":
        return image
    height, width = image.shape[:2]
    if crop == "square":
        side = min(height, width)
        first, begin = (height - side) // 2, (width - side) // 2
        return image[first : first + side, begin : begin + side]
    top, left, tall, wide = _shares(crop)
    first, begin = min(round(top * height), height - 1), min(round(left * width), width - 1)
    last, end = round((top + tall) * height), round((left + wide) * width)
    return image[first : max(last, first + 1), begin : max(end, begin + 1)]


def crop_fault(crop: str) -> str:
    """What is wrong with a crop; "" where nothing is."""
    try:
        if crop not in ("none", "square"):
            _shares(crop)
    except ValueError as error:
        return str(error)
    return ""


def _shares(crop: str) -> tuple[float, float, float, float]:
    fault = ValueError(f"{crop!r} is none of {CROPS}")
    try:
        top, left, height, width = (float(part) for part in crop.split(","))
    except ValueError:
        raise fault from None
    inside = top >= 0 and left >= 0 and top + height <= 1 + _ROUNDING and left + width <= 1 + _ROUNDING
    if not (inside and height > 0 and width > 0):
        raise fault
    return top, left, height, width
