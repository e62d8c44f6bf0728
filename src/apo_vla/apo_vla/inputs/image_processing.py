"""One way from a camera image to the model's input, for training and serving. numpy and OpenCV only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from apo_core.errors import ObservationError

CROP_AREA = 0.9  # share of the image's area that the model sees (OpenVLA's augmentation)
_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601 luma of rgb


@dataclass(frozen=True, slots=True)
class ColourJitter:
    """Largest relative change of each property, drawn evenly to both sides."""

    brightness: float = 0.15
    contrast: float = 0.15
    saturation: float = 0.15


def check_cameras(views: Mapping[str, np.ndarray], cameras: tuple[str, ...]) -> None:
    """Raises ObservationError naming every camera that `views` lacks."""
    missing = [name for name in cameras if name not in views]
    if missing:
        raise ObservationError(f"images {missing} are missing; the policy was trained with {list(cameras)}")


def checked_image(image: np.ndarray) -> np.ndarray:
    """The uint8 (H, W, 3) rgb image of one that is that already, or grey (H, W, 1).

    Raises:
        ObservationError: another shape or type, or fewer than 8 pixels a side.
    """
    if image.ndim == 3 and image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < 8:
        raise ObservationError(f"image is {image.dtype} {image.shape}, must be uint8 (H, W, 3) of at least 8 pixels")
    return image


def process_image(
    image: np.ndarray, size: int, rng: np.random.Generator | None = None, jitter: ColourJitter | None = None
) -> np.ndarray:
    """Crops, resizes and normalises one image.

    Args:
        image: uint8 (H, W, 3) rgb, or (H, W, 1) grey.
        size: side of the result, pixels.
        rng: in training, where the crop's place and the colour change are drawn from; None takes the centre as it is.
        jitter: colour change of training; the default one when None.

    Returns:
        float32 (3, size, size) in about [-1, 1].

    Raises:
        ObservationError: not a uint8 (H, W, 3) or (H, W, 1) image of at least 8 pixels a side.
    """
    image = checked_image(image)
    height, width = image.shape[:2]
    # the crop has the same area in training and serving, so that objects keep their size
    side = math.sqrt(CROP_AREA)
    crop_height, crop_width = side * height, side * width
    top, left = (height - crop_height) / 2, (width - crop_width) / 2
    if rng is not None:
        top, left = rng.uniform(0, 2 * top), rng.uniform(0, 2 * left)
    resized = _crop_resize(image, top, left, crop_height, crop_width, size)
    matrix, offset = np.eye(3), np.zeros(3)
    if rng is not None:
        matrix, offset = _colour_change(resized, jitter or ColourJitter(), rng)
    # (x / 127.5 - 1) folded into the colour change
    affine = np.concatenate([matrix / 127.5, (offset / 127.5 - 1.0)[:, None]], axis=1)
    return np.ascontiguousarray(cv2.transform(resized, affine).transpose(2, 0, 1))


def change_colours(image: np.ndarray, jitter: ColourJitter, rng: np.random.Generator) -> np.ndarray:
    """A uint8 (H, W, 3) rgb image with brightness, contrast and saturation drawn anew; uint8 again."""
    matrix, offset = _colour_change(image, jitter, rng)
    affine = np.concatenate([matrix, offset[:, None]], axis=1)
    return np.clip(np.rint(cv2.transform(image.astype(np.float32), affine)), 0, 255).astype(np.uint8)


def process_images(
    images: list[np.ndarray], size: int, rng: np.random.Generator | None = None, jitter: ColourJitter | None = None
) -> np.ndarray:
    """`process_image` on each; float32 (n, 3, size, size)."""
    return np.stack([process_image(image, size, rng, jitter) for image in images])


def _crop_resize(image: np.ndarray, top: float, left: float, height: float, width: float, size: int) -> np.ndarray:
    """Sub-pixel crop of (height, width) at (top, left), resized to float32 (size, size, 3)."""
    scale_x, scale_y = width / size, height / size
    # output pixel centre u maps to left + (u + 0.5) * scale - 0.5
    inverse = np.array([[scale_x, 0.0, left + 0.5 * scale_x - 0.5], [0.0, scale_y, top + 0.5 * scale_y - 0.5]])
    if max(scale_x, scale_y) > 2.0:
        # far fewer pixels out than in: average first, sampling alone would alias
        image = cv2.blur(image, (max(1, round(scale_x)), max(1, round(scale_y))))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(image, inverse, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return warped.astype(np.float32)


def _colour_change(image: np.ndarray, jitter: ColourJitter, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (3, 3) and offset (3,) that change brightness, contrast and saturation of float32 (h, w, 3) rgb 0..255."""
    brightness, contrast, saturation = 1.0 + rng.uniform(-1.0, 1.0, 3) * (
        jitter.brightness,
        jitter.contrast,
        jitter.saturation,
    )
    mix = saturation * np.eye(3) + (1.0 - saturation) * np.outer(np.ones(3), _GREY)
    mean = float(cv2.mean(image)[:3] @ _GREY) * brightness
    return contrast * brightness * mix, np.full(3, (1.0 - contrast) * mean)
