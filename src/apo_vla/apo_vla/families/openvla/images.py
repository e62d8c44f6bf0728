"""Images of OpenVLA: resize, centre crop of fine-tunes, one normalisation a vision tower. PIL and numpy only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from apo_core.errors import CheckpointError
from apo_vla.families.openvla.tensorflow_jpeg import through_jpeg
from apo_vla.inputs.image_processing import ColourJitter, change_colours, checked_image

CROP_AREA = 0.9  # share of the area that fine-tunes with image augmentation were trained on
_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
LANCZOS_JPEG = "lanczos_jpeg"
RESAMPLING = (*_FILTERS, LANCZOS_JPEG)
JITTER = ColourJitter(0.2, 0.2, 0.2)  # of OpenVLA's fine-tuning
PREPROCESSOR = "preprocessor_config.json"


@dataclass(frozen=True)
class ImageSettings:
    """How a camera image becomes the input of the towers."""

    size: int  # pixels a side
    means: tuple[tuple[float, ...], ...]  # three numbers of each tower, of values 0..1
    stds: tuple[tuple[float, ...], ...]
    centre_crop: bool
    resampling: str = "bicubic"  # one of RESAMPLING


def read_image_settings(folder: Path, size: int, towers: int, centre_crop: bool, resampling: str) -> ImageSettings:
    """Reads preprocessor_config.json.

    Args:
        folder: of the checkpoint.
        size: pixels a side that the towers take.
        towers: how many there are.
        centre_crop, resampling: as deployed.

    Raises:
        CheckpointError: missing, incomplete, or of another size, number of towers or resize strategy.
    """
    path = Path(folder) / PREPROCESSOR
    try:
        data = json.loads(path.read_text())
        sizes = [tuple(s) for s in data["input_sizes"]]
        means = tuple(tuple(float(v) for v in mean) for mean in data["means"])
        stds = tuple(tuple(float(v) for v in std) for std in data["stds"])
        strategy = data["image_resize_strategy"]
        filters = [str(name) for name in data.get("interpolations", ["bicubic"])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error})") from None
    faults = []
    if strategy != "resize-naive":
        faults.append(f"image_resize_strategy = {strategy!r}, only 'resize-naive' is supported")
    if set(filters) != {"bicubic"}:
        faults.append(f"interpolations = {filters}, only 'bicubic' is supported")
    if sizes != [(3, size, size)] * towers:
        faults.append(f"input_sizes = {sizes}, the weights have {towers} towers of {(3, size, size)}")
    if not len(means) == len(stds) == towers or any(len(row) != 3 for row in (*means, *stds)):
        faults.append(f"means = {means} and stds = {stds} must be {towers} times three numbers")
    elif min(min(row) for row in stds) <= 0:
        faults.append(f"stds = {stds} must be above 0")
    if faults:
        raise CheckpointError(f"{path}: {'; '.join(faults)}")
    return ImageSettings(size, means, stds, centre_crop, resampling)


def process(image: np.ndarray, settings: ImageSettings, rng: np.random.Generator | None = None) -> np.ndarray:
    """One image as the towers take it.

    Args:
        image: uint8 (H, W, 3) rgb, or (H, W, 1) grey.
        settings: of the checkpoint.
        rng: in training, where colour change and, with a crop, its place are drawn from.

    Returns:
        float32 (3 * towers, size, size).

    Raises:
        ObservationError: another shape or type.
    """
    image = checked_image(image)
    pixels = resize(image, settings.size, settings.resampling)
    if settings.centre_crop:
        pixels = crop(pixels, rng)
    if rng is not None:
        pixels = change_colours(pixels, JITTER, rng)
    values = pixels.astype(np.float32) / np.float32(255)
    stacked = [
        (values - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
        for mean, std in zip(settings.means, settings.stds, strict=True)
    ]
    return np.ascontiguousarray(np.concatenate(stacked, axis=-1).transpose(2, 0, 1))


def resize(image: np.ndarray, size: int, resampling: str) -> np.ndarray:
    """An image of the towers' size.

    `lanczos_jpeg` is `resize_image` of OpenVLA's and OFT's evaluations on LIBERO and Bridge, which repeats what their
    training data went through: a JPEG of TensorFlow's defaults, then TensorFlow's antialiased lanczos3, which rounds
    once. The other filters are PIL's, which rounds after each axis, and leave an image of the right size as it is.

    Args:
        image: uint8 (H, W, 3).
        size: pixels a side of the result.
        resampling: one of RESAMPLING.

    Returns:
        uint8 (size, size, 3).
    """
    if resampling == LANCZOS_JPEG:
        image = through_jpeg(image)
    if image.shape[:2] == (size, size):
        return image
    if resampling != LANCZOS_JPEG:
        return np.asarray(Image.fromarray(image).resize((size, size), _FILTERS[resampling]))
    # PIL's float images keep the fractions between the two axes, as TensorFlow does
    channels = [Image.fromarray(image[..., channel].astype(np.float32)) for channel in range(3)]
    resized = np.stack([np.asarray(c.resize((size, size), Image.Resampling.LANCZOS)) for c in channels], axis=-1)
    return np.clip(np.rint(resized), 0, 255).astype(np.uint8)


def crop(image: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """A crop of 90 % of the area, as large as the image again: tf.image.crop_and_resize, corners on corners.

    Args:
        image: uint8 (S, S, 3).
        rng: where its place is drawn from; None takes the centre.

    Returns:
        uint8 (S, S, 3): values of 0..1 times 255.5, cut off, as tf.image.convert_image_dtype makes bytes.
    """
    # float32 all along: a byte is cut off, so that a last digit may decide on it
    side = np.sqrt(np.float32(CROP_AREA))
    top, left = rng.uniform(0, 1 - side, 2).astype(np.float32) if rng is not None else ((1 - side) / np.float32(2),) * 2
    values = image.astype(np.float32) * np.float32(1 / 255)
    values = _resample(_resample(values, left, side, 1), top, side, 0)
    return np.clip(values * np.float32(255.5), 0, 255).astype(np.uint8)


def _resample(values: np.ndarray, start: np.float32, side: np.float32, axis: int) -> np.ndarray:
    """Linear interpolation along one axis, at as many places from `start` to `start + side` (of 0..1)."""
    last = np.float32(values.shape[axis] - 1)
    step = (start + side - start) * last / last
    places = start * last + np.arange(values.shape[axis], dtype=np.float32) * step
    low = np.floor(places)
    shape = [1, 1, 1]
    shape[axis] = -1
    share = (places - low).reshape(shape)
    before = values.take(low.astype(int), axis)
    return before + (values.take(np.ceil(places).astype(int), axis) - before) * share
