"""Frames of single steps of many episodes, for training: files stay open, several threads unpack."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

from apo_core.errors import EpisodeFormatError
from apo_episodes.hdf5.checked_file import CameraFrames, format_errors, open_episode, read_head
from apo_episodes.hdf5.video_frames import GroupCache

CACHE_BYTES = 1 << 30  # of decoded video
_MAX_OPEN = 256  # files; a process may often have 1024


class FrameReader:
    """Reads batches of frames; use it from one thread.

    Args:
        paths: episode files whose cameras have the same shapes.
        cameras: which ones; all those of the first file when empty.
        workers: threads that unpack; the number of processors when 0.
        cache_bytes: of decoded video, kept for the next batches.

    Raises:
        EpisodeFormatError: the first file is not readable or lacks a camera.
    """

    def __init__(
        self, paths: Sequence[Path | str], cameras: Sequence[str] = (), workers: int = 0, cache_bytes: int = CACHE_BYTES
    ):
        self._cache = GroupCache(cache_bytes)
        self._paths = [Path(path) for path in paths]
        self._open: OrderedDict[int, tuple[h5py.File, dict[str, CameraFrames]]] = OrderedDict()
        self._workers = workers or os.cpu_count() or 1
        self._specs = {spec.name: spec for spec in open_episode(self._paths[0], read_head)[3].images}
        missing = sorted(set(cameras) - set(self._specs))
        if missing:
            raise EpisodeFormatError(f"{self._paths[0]}: has no camera {missing}; it has {sorted(self._specs)}")
        self._cameras = tuple(cameras) or tuple(self._specs)
        self._pool = ThreadPoolExecutor(self._workers, "unpack")

    def read(
        self, samples: Sequence[tuple[int, int]], out: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """{camera: (n, H, W, C)} of the samples.

        Args:
            samples: (index of the path, step) of each.
            out: an earlier batch of as many samples, to be overwritten: new memory costs as much as the frames.

        Raises:
            ValueError: `out` is not such a batch.
            EpisodeFormatError: a file is not readable, lacks a camera or step, or its frames have other shapes.
        """
        frames = [self._frames(index) for index, _ in samples]
        while len(self._open) > max(_MAX_OPEN, len(samples)):  # those of this batch are the newest
            self._open.popitem(last=False)[1][0].close()
        specs = self._specs
        shapes = {camera: ((len(samples), *specs[camera].shape), specs[camera].dtype) for camera in self._cameras}
        if out is None:
            batch = {camera: np.empty(shape, dtype) for camera, (shape, dtype) in shapes.items()}
        elif {camera: (values.shape, values.dtype) for camera, values in out.items()} == shapes:
            batch = dict(out)
        else:
            raise ValueError(f"out is not a batch of {len(samples)} samples of cameras {list(self._cameras)}")

        order = sorted(range(len(samples)), key=samples.__getitem__)  # frames of one video group one after the other

        def unpack(worker: int) -> None:
            for row in order[worker :: self._workers]:
                index, step = samples[row]
                with format_errors(self._paths[index]):
                    for camera, out in batch.items():
                        frames[row][camera].read_into(step, out[row])

        for _ in self._pool.map(unpack, range(self._workers)):
            pass
        return batch

    def _frames(self, index: int) -> dict[str, CameraFrames]:
        if index in self._open:
            self._open.move_to_end(index)
            return self._open[index][1]
        path = self._paths[index]
        with format_errors(path):
            file = h5py.File(path, "r")
            try:
                frames = self._cameras_of(path, file)
            except BaseException:
                file.close()
                raise
        self._open[index] = file, frames
        return frames

    def _cameras_of(self, path: Path, file: h5py.File) -> dict[str, CameraFrames]:
        checked, _, steps, contract = read_head(path, file)
        specs = {spec.name: spec for spec in contract.images}
        for camera in self._cameras:
            want, found = self._specs[camera], specs.get(camera)
            if found is None or (found.shape, found.dtype) != (want.shape, want.dtype):
                checked.fail(f"camera '{camera}' is missing or not {want.dtype} {want.shape} as in {self._paths[0]}")
        return {camera: CameraFrames(checked, specs[camera], steps, self._cache) for camera in self._cameras}

    def close(self) -> None:
        """Closes the files."""
        self._pool.shutdown()
        for file, _ in self._open.values():
            file.close()
        self._open.clear()

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
