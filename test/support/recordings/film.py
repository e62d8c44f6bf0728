"""Pictures as a camera makes them, of a scene in which something moves, and a contract of cameras that show it."""

from dataclasses import replace

import numpy as np
from small_contract import contract_data

from apo_core.contract.contract import Contract, contract_from_dict
from apo_core.types import Step


def film_contract() -> Contract:
    """The small contract with cameras `front` (rgb8), `grey` (mono8) and `depth` (16UC1)."""
    images = {
        "front": {"topic": "front/image_raw", "height": 96, "width": 128, "encoding": "rgb8"},
        "grey": {"topic": "grey/image_raw", "height": 96, "width": 128, "encoding": "mono8"},
        "depth": {"topic": "depth/image_raw", "height": 4, "width": 6, "encoding": "16UC1"},
    }
    return contract_from_dict(contract_data(images=images), "film")


def filmed(index: int, step: Step) -> Step:
    """The step with the pictures of its place in the film."""
    front = film_frame(index)
    pictures = {"front": front, "grey": front[:, :, :1].copy(), "depth": depth_frame(index)}
    return replace(step, observation=replace(step.observation, images=pictures))


def film_frame(step: int) -> np.ndarray:
    """uint8 (96, 128, 3) of a scene with a disc that moves and the noise of a sensor (standard deviation 1)."""
    y, x = np.mgrid[:96, :128]
    image = np.stack([90 + y, 60 + x, 150 - x / 2 + y / 3], -1)
    image[(x - 20 - 3 * step) ** 2 + (y - 48) ** 2 < 300] = (200, 60, 40)
    noise = np.random.default_rng(step).normal(0, 1, image.shape)
    return np.clip(np.round(image + noise), 0, 255).astype(np.uint8)


def depth_frame(step: int) -> np.ndarray:
    """uint16 (4, 6, 1)."""
    return (np.arange(24, dtype=np.uint16).reshape(4, 6, 1) * 2500 + step).astype(np.uint16)
