"""Writes an episode while it is recorded: one HDF5 file, facts only (docs/reference/episode_format.md).

While it is recorded an episode is `<directory>/.partial/<id>.h5` with a journal beside it. Once it is complete and on
disk the file moves to `<directory>/<id>.h5`, so a file in the directory is always whole.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np

from apo_core.contract.contract import Contract
from apo_core.errors import ConfigError
from apo_core.system.atomic_files import move, sync
from apo_core.types import EpisodeInfo, EpisodeOutcome, Step
from apo_episodes.hdf5.image_codec import COMPRESSIONS, PackedFrame, pack
from apo_episodes.hdf5.writer import Hdf5Writer, step_row
from apo_episodes.journal import SUFFIX, JournalWriter
from apo_episodes.names import is_file_name

_SYNC_NS = 500_000_000  # a power failure loses at most this much
_PARALLEL_BYTES = 1 << 17  # a smaller frame is packed faster than handed to another thread


class EpisodeWriter:
    """Writes one episode while it is recorded. Not thread-safe: one writer, one thread.

    Every step goes into the file and into a journal. `recovery.recover_episode` makes an episode of the journal that a
    crash leaves.

    Args:
        directory: where the finished file goes; created when missing.
        info: what is known at the start.
        contract: shapes and dtypes.
        compression: of the images, `zstd`, `gzip`, `none` (all lossless) or `jpeg` (depth stays lossless).
        jpeg_quality: 1..100.

    Raises:
        ConfigError: a bad episode id, compression or quality.
        FileExistsError: the episode exists already, or what a crash left of it.
        OSError: the folder cannot be written.
    """

    def __init__(
        self,
        directory: Path,
        info: EpisodeInfo,
        contract: Contract,
        compression: str = "zstd",
        jpeg_quality: int = 95,
    ):
        faults = []
        if not is_file_name(info.episode_id):
            faults.append(f"episode_id = {info.episode_id!r} must be letters, digits, '_', '-', '.', at most 128")
        if compression not in COMPRESSIONS:
            choices = ", ".join(COMPRESSIONS)
            faults.append(f"image_compression = {compression!r} must be one of {choices} (config/recorder.yaml)")
        if not 1 <= jpeg_quality <= 100:
            faults.append(f"jpeg_quality = {jpeg_quality} must be 1..100 (config/recorder.yaml)")
        if faults:
            raise ConfigError("episode", faults)
        self.directory = Path(directory)
        self.path = self.directory / f"{info.episode_id}.h5"
        if self.path.exists():
            raise FileExistsError(f"episode file exists already: {self.path}")
        partial = self.directory / ".partial"
        partial.mkdir(parents=True, exist_ok=True)
        self.partial_path = partial / f"{info.episode_id}{SUFFIX}"  # stays after a crash
        self._unfinished = partial / self.path.name
        self._contract, self._compression, self._jpeg_quality = contract, compression, jpeg_quality
        self._syncer, self._synced_ns = ThreadPoolExecutor(1, "sync"), 0
        self._syncing: Future[None] | None = None
        self._journal = JournalWriter(self.partial_path, {"info": asdict(info), "image_compression": compression})
        try:
            self._file = Hdf5Writer(self._unfinished, info, contract, compression)
        except BaseException:
            self._journal.close()
            self.partial_path.unlink()
            raise
        sync(partial)
        largest = max((np.prod(spec.shape) for spec in contract.images), default=0)
        workers = min(len(contract.images), os.cpu_count() or 1) if largest >= _PARALLEL_BYTES else 1
        self._pool = ThreadPoolExecutor(workers, "pack") if workers > 1 else None

    @property
    def num_steps(self) -> int:
        return self._file.num_steps

    def append(self, step: Step) -> None:
        """Adds a step.

        Raises:
            ObservationError: the observation does not fit the contract.
            OSError: the disk is full or gone.
        """
        self._contract.check_observation(step.observation)
        frames = self._pack([step.observation.images[spec.name] for spec in self._contract.images])
        row = step_row(step, self._contract)
        facts = {"row": row, "frames": [[len(frame.data), frame.digest.hex()] for frame in frames]}
        self._journal.append(facts, [frame.data for frame in frames])
        if step.receive_ns - self._synced_ns >= _SYNC_NS or step.receive_ns < self._synced_ns:
            self._sync(step.receive_ns)
        self._file.append(row, frames)

    def _sync(self, now_ns: int) -> None:
        """Syncs the journal on its own thread, so that packing goes on meanwhile."""
        if self._syncing is not None:
            if not self._syncing.done():
                return
            self._syncing.result()
        self._syncing, self._synced_ns = self._syncer.submit(self._journal.sync), now_ns

    def _pack(self, images: list[np.ndarray]) -> list[PackedFrame]:
        def packed(image: np.ndarray) -> PackedFrame:
            return pack(image, self._compression, self._jpeg_quality)

        return list((self._pool.map if self._pool else map)(packed, images))

    def truncate(self, num_steps: int) -> None:
        """Drops the steps from `num_steps` on."""
        self._file.truncate(num_steps)

    def finish(
        self,
        outcome: EpisodeOutcome,
        losses: Mapping[str, int] | None = None,
        streams: Mapping[str, Mapping[str, float]] | None = None,
        rejections: Mapping[str, int] | None = None,
    ) -> Path:
        """Completes the file, puts it on disk and publishes it under its final name; returns that path.

        Args:
            outcome: how the episode ended.
            losses: counts of what it misses.
            streams: counts of each camera and state key (docs/reference/episode_format.md).
            rejections: {why: steps that were not recorded}.

        Raises:
            OSError: the disk is full or gone; what was written stays in the journal.
        """
        self._file.finish(outcome, losses or {}, streams or {}, rejections)
        move(self._unfinished, self.path)
        self._stop_threads()
        self._journal.close()
        self.partial_path.unlink()
        return self.path

    def discard(self) -> None:
        """Deletes the episode and its journal."""
        self.abandon()
        self.partial_path.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Abandons the episode; its journal stays."""
        self._stop_threads()
        self._file.close()
        self._journal.close()
        # the journal has all of it, and a full disk needs the room to recover
        self._unfinished.unlink(missing_ok=True)

    def _stop_threads(self) -> None:
        for pool in (self._syncer, self._pool):
            if pool is not None:
                pool.shutdown()
