"""Frames of episode files that stay open, as opening and checking a file takes ten times as long as reading a frame."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from apo_core.episode_hdf5 import CameraFrames, format_errors, read_head

_Opened = tuple[h5py.File, dict[str, CameraFrames]]


class FrameFiles:
    """Reads frames from several threads; the files that were read last stay open.

    Args:
        limit: files that are open at once.
    """

    def __init__(self, limit: int = 64):
        self._limit, self._lock = limit, threading.Lock()
        self._opened: OrderedDict[Path, _Opened] = OrderedDict()

    def read(self, path: Path, steps: Sequence[int]) -> dict[str, np.ndarray]:
        """Images of some steps of a file, {camera: (n, H, W, C)}; see types.Observation.

        Raises:
            EpisodeFormatError: unreadable, or a step beyond the end.
        """
        with self._lock, format_errors(path):
            cameras = self._cameras(path)
            return {name: frames.read(steps) for name, frames in cameras.items()}

    def close(self) -> None:
        """Closes the files; what is read later opens them again."""
        with self._lock:
            for file, _ in self._opened.values():
                file.close()
            self._opened.clear()

    def _cameras(self, path: Path) -> dict[str, CameraFrames]:
        if path not in self._opened:
            file = h5py.File(path, "r")
            try:
                checked, _, steps, contract = read_head(path, file)
                self._opened[path] = file, {s.name: CameraFrames(checked, s, steps) for s in contract.images}
            except BaseException:
                file.close()
                raise
            if len(self._opened) > self._limit:
                self._opened.popitem(last=False)[1][0].close()
        self._opened.move_to_end(path)
        return self._opened[path][1]
