"""The pictures of a contract's cameras as a published model saw them in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from apo_core.crop import crop_fault, cropped
from apo_core.orientation import ORIENTATIONS, oriented
from apo_vla.inputs.image_processing import check_cameras

CHANNEL_ORDERS = ("rgb", "bgr")


@dataclass(frozen=True)
class CameraViews:
    """Which cameras a model sees, and in which convention."""

    cameras: tuple[str, ...]  # contract names, in the model's order
    orientation: tuple[str, ...] = ()  # of each camera, see ORIENTATIONS; empty: none of them is turned
    channel_order: str = "rgb"  # see CHANNEL_ORDERS
    crop: tuple[str, ...] = ()  # of each camera before it is turned, see apo_core.crop; empty: the whole pictures

    @property
    def is_plain(self) -> bool:
        """Whether the model sees the contract's pictures as they are."""
        return self.channel_order == "rgb" and not self.is_cropped and not set(self.orientation) - {"none"}

    @property
    def is_cropped(self) -> bool:
        """Whether the model sees a part of a picture."""
        return bool(set(self.crop) - {"none"})

    def take(self, views: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """{camera: uint8 (H, W, C)} -> pictures in the model's order.

        Raises:
            ObservationError: names every camera that `views` lacks.
        """
        check_cameras(views, self.cameras)
        whole = ("none",) * len(self.cameras)
        parts = zip(self.cameras, self.crop or whole, self.orientation or whole, strict=True)
        pictures = [oriented(cropped(views[name], crop), turn) for name, crop, turn in parts]
        if self.channel_order == "bgr":
            pictures = [picture[..., ::-1] for picture in pictures]
        return [np.ascontiguousarray(picture) for picture in pictures]


def view_faults(cameras: tuple[str, ...], orientation: tuple[str, ...], crop: tuple[str, ...] = ()) -> list[str]:
    """Everything wrong with the orientations and crops of a deployment."""
    faults = [
        f"orientation = {list(orientation)}: {name!r} is none of {', '.join(ORIENTATIONS)}"
        for name in orientation
        if name not in ORIENTATIONS
    ]
    faults += [f"crop = {list(crop)}: {fault}" for fault in map(crop_fault, crop) if fault]
    faults += [
        f"{name} = {list(values)} must be empty, or one for each of cameras = {list(cameras)}"
        for name, values in (("orientation", orientation), ("crop", crop))
        if values and len(values) != len(cameras)
    ]
    return faults
