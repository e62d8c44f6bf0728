"""MP4 files that hold one episode after the other, as LeRobotDataset v3.0 wants them, and single frames as PNG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import cv2


@dataclass(frozen=True, slots=True)
class VideoPlace:
    """Where the frames of an episode are."""

    chunk_index: int
    file_index: int
    from_timestamp: float  # s in the file
    to_timestamp: float  # s, the end of the last frame


class RollingVideo:
    """Frames of one camera; a new file is begun between two episodes once the last one is full.

    Args:
        folder: of the data set.
        key: feature of the camera.
        pattern: of the files, with video_key, chunk_index and file_index.
        rate_hz: frames a second.
        limit_bytes: size at which a file is full.
        chunks_size: files in a folder.
    """

    def __init__(self, folder: Path, key: str, pattern: str, rate_hz: float, limit_bytes: int, chunks_size: int):
        self._folder, self._key, self._pattern = folder, key, pattern
        self._rate_hz, self._limit, self._chunks_size = rate_hz, limit_bytes, chunks_size
        self._writer: cv2.VideoWriter | None = None
        self._number, self._path = -1, Path()
        self._frames = self._first = 0

    def begin(self) -> None:
        """Begins an episode."""
        if self._writer is not None and self._path.stat().st_size >= self._limit:
            self.close()
        if self._writer is None:
            self._number += 1
            self._frames = 0
            self._path = self._folder / self._pattern.format(
                video_key=self._key,
                chunk_index=self._number // self._chunks_size,
                file_index=self._number % self._chunks_size,
            )
            self._path.parent.mkdir(parents=True, exist_ok=True)
        self._first = self._frames

    def write(self, image: np.ndarray) -> None:
        """Adds a frame, uint8 (H, W, 3) rgb with even sides.

        Raises:
            OSError: the file cannot be written.
        """
        import cv2

        if self._writer is None:
            size = (image.shape[1], image.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._rate_hz, size)
            if not self._writer.isOpened():
                raise OSError(f"cannot write {self._path}")
        self._writer.write(np.ascontiguousarray(image[:, :, ::-1]))
        self._frames += 1

    def end(self) -> VideoPlace:
        """Ends the episode."""
        return VideoPlace(
            self._number // self._chunks_size,
            self._number % self._chunks_size,
            self._first / self._rate_hz,
            self._frames / self._rate_hz,
        )

    def close(self) -> None:
        """Completes the file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None


def encode_png(image: np.ndarray) -> bytes:
    """uint8 (H, W, 3) rgb -> PNG file."""
    import cv2

    return cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()
