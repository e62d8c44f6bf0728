"""Pictures as the page shows them. Pure."""

from __future__ import annotations

import cv2
import numpy as np


def encode(image: np.ndarray, quality: int, largest_width: int) -> bytes:
    """JPEG of a picture.

    Args:
        image: (H, W, 3) uint8 RGB, or (H, W) or (H, W, 1) of any integer type, shown from its least to its largest.
        quality: 1 to 100.
        largest_width: pixels; wider pictures are shrunk.
    """
    if image.ndim == 2 or image.shape[2] == 1:
        values = image.reshape(image.shape[:2]).astype(np.float32)
        low, high = float(values.min()), float(values.max())
        image = ((values - low) * (255.0 / max(high - low, 1.0))).astype(np.uint8)
    else:
        image = np.ascontiguousarray(image[:, :, ::-1])
    height, width = image.shape[:2]
    if width > largest_width:
        size = (largest_width, max(1, round(height * largest_width / width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])
