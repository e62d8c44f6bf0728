"""The pictures of a contract's cameras as a published model saw them in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from apo_core.orientation import ORIENTATIONS, oriented
from apo_vla.inputs.image_processing import check_cameras

CHANNEL_ORDERS = ("rgb", "bgr")


@dataclass(frozen=True)
class CameraViews:
    """Which cameras a model sees, and in which convention."""

    cameras: tuple[str, ...]  # contract names, in the model's order
    orientation: tuple[str, ...] = ()  # of each camera, see ORIENTATIONS; empty: none of them is turned
    channel_order: str = "rgb"  # see CHANNEL_ORDERS

    @property
    def is_plain(self) -> bool:
        """Whether the model sees the contract's pictures as they are."""
        return self.channel_order == "rgb" and not set(self.orientation) - {"none"}

    def take(self, views: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """{camera: uint8 (H, W, C)} -> pictures in the model's order.

        Raises:
            ObservationError: names every camera that `views` lacks.
        """
        check_cameras(views, self.cameras)
        turns = self.orientation or ("none",) * len(self.cameras)
        pictures = [oriented(views[name], turn) for name, turn in zip(self.cameras, turns, strict=True)]
        if self.channel_order == "bgr":
            pictures = [picture[..., ::-1] for picture in pictures]
        return [np.ascontiguousarray(picture) for picture in pictures]


def view_faults(cameras: tuple[str, ...], orientation: tuple[str, ...]) -> list[str]:
    """Everything wrong with the orientations of a deployment."""
    faults = [
        f"orientation = {list(orientation)}: {name!r} is none of {', '.join(ORIENTATIONS)}"
        for name in orientation
        if name not in ORIENTATIONS
    ]
    if orientation and len(orientation) != len(cameras):
        faults.append(f"orientation = {list(orientation)} must be empty, or one for each of cameras = {list(cameras)}")
    return faults
