"""Frames of a camera that is stored as video, read in any order: a group at a time, the last ones kept."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from dataclasses import dataclass

import h5py
import numpy as np

from apo_core.errors import EpisodeFormatError
from apo_episodes.hdf5.video_codec import MAX_GOP, decode_group

VIDEO = "observation/video/"
Key = tuple[str, str, int]  # file, camera, first step of a group


class GroupCache:
    """Decoded groups of frames, those used last. Thread-safe.

    Args:
        limit_bytes: of all frames together; the newest group is kept in any case.
    """

    def __init__(self, limit_bytes: int = 0):
        self._limit, self._size = limit_bytes, 0
        self._groups: OrderedDict[Key, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> np.ndarray | None:
        """The frames of a group, (n, H, W, C); None if they are not here."""
        with self._lock:
            frames = self._groups.get(key)
            if frames is not None:
                self._groups.move_to_end(key)
            return frames

    def put(self, key: Key, frames: np.ndarray) -> None:
        """Keeps the frames of a group in place of those that were used longest ago."""
        with self._lock:
            old = self._groups.pop(key, None)
            self._size += frames.nbytes - (0 if old is None else old.nbytes)
            self._groups[key] = frames
            while self._size > self._limit and len(self._groups) > 1:
                self._size -= self._groups.popitem(last=False)[1].nbytes


@dataclass(frozen=True, slots=True)
class VideoColumns:
    """The datasets of a camera; T steps."""

    packets: h5py.Dataset  # uint8 (N,)
    ends: np.ndarray  # int64 (T,): where the packet of a step ends
    firsts: np.ndarray  # int64 (T,): the step whose key frame begins the group of a step
    crcs: np.ndarray  # uint32 (T,): CRC-32 of the packet


class VideoFrames:
    """The frames of one camera. Thread-safe.

    Args:
        name: of the file and of the camera, for the cache.
        columns: not trusted.
        shape: (H, W, C) of a frame.
        cache: where decoded groups are kept.

    Raises:
        EpisodeFormatError: the columns contradict each other.
    """

    def __init__(self, name: tuple[str, str], columns: VideoColumns, shape: tuple[int, int, int], cache: GroupCache):
        self._name, self._packets, self._shape, self._cache = name, columns.packets, shape, cache
        self._crcs = columns.crcs.tolist()
        self._bounds = [0, *columns.ends.tolist()]
        self._firsts = columns.firsts
        self._decoding = threading.Lock()
        place = f"{VIDEO}{name[1]}"
        if np.any(np.diff(columns.ends, prepend=0) <= 0):
            raise EpisodeFormatError(f"dataset '{place}/end' does not rise")
        # a step begins a group or belongs to that of the step before
        steps = np.arange(len(self._firsts))
        before = np.concatenate([[0], self._firsts[:-1]])[: len(steps)]
        if np.any((self._firsts != steps) & (self._firsts != before)) or np.any(steps - self._firsts >= MAX_GOP):
            raise EpisodeFormatError(f"dataset '{place}/first' does not name groups of 1..{MAX_GOP} steps")

    def frame(self, step: int) -> np.ndarray:
        """(H, W, C) frame of a step, not to be changed. Raises EpisodeFormatError when its group is damaged."""
        first = int(self._firsts[step])
        return self._group(first)[step - first]

    def _group(self, first: int) -> np.ndarray:
        key = (*self._name, first)
        frames = self._cache.get(key)
        if frames is not None:
            return frames
        with self._decoding:  # several threads may want the same group
            frames = self._cache.get(key)
            if frames is None:
                frames = decode_group(self._read(first), self._shape)
                frames.setflags(write=False)
                self._cache.put(key, frames)
            return frames

    def _read(self, first: int) -> list[bytes]:
        """The packets of the group that begins at a step."""
        stop = int(np.searchsorted(self._firsts, first, side="right"))
        begin = self._bounds[first]
        data = self._packets[begin : self._bounds[stop]].tobytes()
        packets = []
        for step in range(first, stop):
            packet = data[self._bounds[step] - begin : self._bounds[step + 1] - begin]
            if zlib.crc32(packet) != self._crcs[step]:
                raise EpisodeFormatError(f"the video packet of camera '{self._name[1]}' at step {step} is damaged")
            packets.append(packet)
        return packets
