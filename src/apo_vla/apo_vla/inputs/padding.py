"""Images resized without distortion and padded with black to a square, as LeRobot and openpi do."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from apo_vla.inputs.image_processing import ColourJitter, change_colours, checked_image


def resize_with_padding(
    image: np.ndarray, size: int, rng: np.random.Generator | None = None, centred: bool = True
) -> np.ndarray:
    """An image resized without distortion on black, by the bilinear filter of torch, as LeRobot does.

    Args:
        image: uint8 (H, W, 3) rgb, or (H, W, 1) grey.
        size: pixels a side of the result.
        rng: in training, where a colour change is drawn from.
        centred: False: at the bottom and the right.

    Returns:
        float32 (3, size, size) in -1..1.

    Raises:
        ObservationError: another shape or type.
    """
    image = checked_image(image)
    if rng is not None:
        image = change_colours(image, ColourJitter(), rng)
    values = torch.from_numpy(image.astype(np.float32) / np.float32(255)).permute(2, 0, 1)[None]
    height, width = _fitting(image, size)
    if (height, width) != image.shape[:2]:
        values = F.interpolate(values, (height, width), mode="bilinear", align_corners=False).clamp(0, 1)
    top, left = size - height, size - width
    if centred:
        top, left = top // 2, left // 2
    values = F.pad(values, (left, size - width - left, top, size - height - top))
    return (values[0] * 2 - 1).numpy()


def resize_by_pil(image: np.ndarray, size: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """See `resize_with_padding`; as openpi does, by PIL's bilinear filter, which averages over what it shrinks."""
    image = checked_image(image)
    if rng is not None:
        image = change_colours(image, ColourJitter(), rng)
    height, width = _fitting(image, size)
    if (height, width) != image.shape[:2]:
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    top, left = (size - height) // 2, (size - width) // 2
    padded = np.zeros((size, size, 3), np.uint8)
    padded[top : top + height, left : left + width] = image
    return padded.transpose(2, 0, 1).astype(np.float32) / np.float32(255) * 2 - 1


def _fitting(image: np.ndarray, size: int) -> tuple[int, int]:
    """Height and width of an image (H, W, C) that fits a square."""
    ratio = max(image.shape[0], image.shape[1]) / size
    return int(image.shape[0] / ratio), int(image.shape[1] / ratio)
