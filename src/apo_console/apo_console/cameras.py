"""Turns the newest picture of each camera into JPEG, in a thread of its own: a slow one holds up nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from apo_console.jpeg import encode


class CameraEncoder:
    """Encodes while somebody looks; a picture that comes while another waits takes its place.

    Args:
        quality: of the JPEG, 1 to 100.
        largest_width: pixels; wider pictures are shrunk.
        wanted: whether anybody looks.
        offer: (robot, camera, sequence, stamp in ns, JPEG); called from the thread.
    """

    def __init__(
        self,
        quality: int,
        largest_width: int,
        wanted: Callable[[], bool],
        offer: Callable[[int, int, int, int, bytes], None],
    ):
        self._quality, self._width, self._wanted, self._offer = quality, largest_width, wanted, offer
        self._waiting: dict[tuple[int, int], tuple[int, np.ndarray]] = {}
        self._sequences: dict[tuple[int, int], int] = {}
        self._lock, self._news, self._stop = threading.Lock(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="encode cameras", daemon=True)
        self._thread.start()

    def put(self, robot: int, camera: int, stamp_ns: int, image: np.ndarray) -> None:
        """A picture (H, W, 3) uint8 RGB, or (H, W, 1) uint16 depth, has arrived."""
        if not self._wanted():
            return
        with self._lock:
            self._waiting[robot, camera] = (stamp_ns, image)
        self._news.set()

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._news.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            if self._stop.is_set():
                return
            with self._lock:
                waiting, self._waiting = self._waiting, {}
            for key, (stamp_ns, image) in waiting.items():
                self._sequences[key] = self._sequences.get(key, 0) + 1
                self._offer(*key, self._sequences[key], stamp_ns, encode(image, self._quality, self._width))
