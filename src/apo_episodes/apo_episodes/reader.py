"""Episode files: one HDF5 file an episode, facts only (docs/reference/episode_format.md); labels are derived on load.

While it is recorded an episode is `<directory>/.partial/<id>.h5` with a journal beside it. Complete and on disk, the
file is renamed to `<directory>/<id>.h5`, so a file in the directory is always whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from apo_core.contract.contract import Contract
from apo_core.errors import ConfigError
from apo_core.types import ControlSource, EpisodeInfo, EpisodeKind, EpisodeOutcome, Outcome, Step, StepLabel
from apo_episodes.checked_file import CameraFrames, open_episode, read_head
from apo_episodes.checksums import (
    IMAGES,
    attributes_checksum,
    dataset_names,
    frames_checksum,
    values_checksum,
)
from apo_episodes.hdf5_writer import EpisodeSink, step_row
from apo_episodes.image_codec import COMPRESSIONS, PackedFrame, pack
from apo_episodes.journal import SUFFIX, JournalWriter
from apo_episodes.labeling import LabelRule, derive_labels, intervention_share, takeovers
from apo_episodes.schema import SCHEMA, SCHEMA_MINOR, SCHEMA_VERSION
from apo_episodes.takeover_windows import StepFacts

__all__ = [
    "SCHEMA",
    "SCHEMA_MINOR",
    "SCHEMA_VERSION",
    "Episode",
    "EpisodeWriter",
    "list_episodes",
    "publish",
    "read_episode",
    "read_frames",
    "verify_checksums",
]
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_SYNC_NS = 500_000_000  # at most this much is lost when the power goes
_PARALLEL_BYTES = 1 << 17  # a smaller frame is packed faster than handed to another thread


class EpisodeWriter:
    """Writes one episode while it is recorded. Not thread-safe: one writer, one thread.

    Every step goes into the file and into a journal; what a crash leaves of the journal is completed by
    `episode_recovery.recover_episode`.

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
        if not _ID.fullmatch(info.episode_id):
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
        self.partial_path = partial / f"{info.episode_id}{SUFFIX}"  # what a crash leaves
        self._unfinished = partial / self.path.name
        self._contract, self._compression, self._jpeg_quality = contract, compression, jpeg_quality
        self._syncer, self._synced_ns = ThreadPoolExecutor(1, "sync"), 0
        self._syncing: Future[None] | None = None
        self._journal = JournalWriter(self.partial_path, {"info": asdict(info), "image_compression": compression})
        try:
            self._sink = EpisodeSink(self._unfinished, info, contract, compression)
        except BaseException:
            self._journal.close()
            self.partial_path.unlink()
            raise
        _fsync(partial)
        largest = max((np.prod(spec.shape) for spec in contract.images), default=0)
        workers = min(len(contract.images), os.cpu_count() or 1) if largest >= _PARALLEL_BYTES else 1
        self._pool = ThreadPoolExecutor(workers, "pack") if workers > 1 else None

    @property
    def num_steps(self) -> int:
        return self._sink.num_steps

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
        self._sink.append(row, frames)

    def _sync(self, now_ns: int) -> None:
        """Puts the journal on the disk, on a thread of its own: packing goes on meanwhile."""
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
        self._sink.truncate(num_steps)

    def finish(
        self,
        outcome: EpisodeOutcome,
        losses: Mapping[str, int] | None = None,
        streams: Mapping[str, Mapping[str, float]] | None = None,
    ) -> Path:
        """Completes the file, puts it on disk and publishes it under its final name; returns that path.

        Args:
            outcome: how the episode ended.
            losses: counts of what it misses.
            streams: counts of each camera and state key (docs/reference/episode_format.md).

        Raises:
            OSError: the disk is full or gone; what was written stays in the journal.
        """
        self._sink.finish(outcome, losses or {}, streams or {})
        publish(self._unfinished, self.path)
        self._stop_threads()
        self._journal.close()
        self.partial_path.unlink()
        return self.path

    def discard(self) -> None:
        """Drops the episode and everything written of it."""
        self.abandon()
        self.partial_path.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Gives the episode up; its journal stays."""
        self._stop_threads()
        self._sink.close()
        self._journal.close()
        # the journal has all of it, and a full disk needs the room to recover
        self._unfinished.unlink(missing_ok=True)

    def _stop_threads(self) -> None:
        for pool in (self._syncer, self._pool):
            if pool is not None:
                pool.shutdown()


def publish(unfinished: Path, path: Path) -> None:
    """Gives a file that is complete and on disk its final name, for good. Raises OSError."""
    os.replace(unfinished, path)
    _fsync(path.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Episode:
    """One episode in memory; T steps. Rows of `policy_actions` and `human_actions` without an action are NaN."""

    path: Path
    info: EpisodeInfo
    outcome: EpisodeOutcome
    contract: Contract
    losses: Mapping[str, int]
    images: Mapping[str, np.ndarray]  # {camera: (T, H, W, C)}, see types.Observation; empty when read without images
    state: Mapping[str, np.ndarray]  # {key: float32 (T, n)}
    executed_actions: np.ndarray  # float32 (T, A)
    policy_actions: np.ndarray  # float32 (T, A)
    human_actions: np.ndarray  # float32 (T, A)
    sources: tuple[ControlSource, ...]
    reasons: tuple[str, ...]
    adapter_versions: np.ndarray  # uint32 (T,)
    ticks: np.ndarray  # int64 (T,)
    stamps_ns: Mapping[str, np.ndarray]  # {observation, command, chunk, receive: int64 (T,)}
    header_stamps_ns: Mapping[str, np.ndarray] = field(default_factory=dict)  # {camera or state key: int64 (T,)}
    stream_receive_ns: Mapping[str, np.ndarray] = field(default_factory=dict)  # {camera or state key: int64 (T,)}
    clipped: tuple[str, ...] = ()  # contract limits that changed the action; empty in version 1
    streams: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # {camera or state key: counts}
    schema_version: int = SCHEMA_VERSION
    image_compression: str = ""  # empty in version 1
    schema_minor: int = SCHEMA_MINOR
    policy_tokens: np.ndarray | None = None  # int32 (T, A), -1 where unknown; None: the file has none
    task_remaining: np.ndarray | None = None  # float32 (T,), unit of the task, NaN where unknown; None: as above

    @property
    def num_steps(self) -> int:
        return len(self.sources)

    @cached_property
    def takeovers(self) -> list[int]:
        return takeovers(self.sources)

    @property
    def intervention_share(self) -> float:
        return intervention_share(self.sources)

    def labels(self, rule: LabelRule) -> list[StepLabel]:
        """Preference labels of the steps under `rule`."""
        facts = StepFacts.of(self)
        return derive_labels(self.sources, self.outcome.outcome, self.contract.rate_hz, rule, self.info.kind, facts)


def read_episode(path: Path | str, images: bool = True) -> Episode:
    """Reads and checks an episode file.

    Raises:
        EpisodeFormatError: not an episode, truncated, newer schema, or inconsistent with its contract.
    """
    return open_episode(Path(path), lambda path, f: _read(path, f, images))


def _read(path: Path, f: h5py.File, with_images: bool) -> Episode:
    checked, attrs, steps, contract = read_head(path, f)
    fail, column = checked.fail, checked.column
    size = contract.action.size
    version = int(attrs["schema_version"])
    executed = column("action/executed", (steps, size), "f4")
    if not np.all(np.isfinite(executed)):
        fail("dataset 'action/executed' has values that are not finite")
    codes = column("control/source", (steps,), "u1")
    enum = h5py.check_enum_dtype(checked.own("control/source").dtype) or {}
    names = {code: ControlSource(name) for name, code in enum.items()}
    if not set(codes.tolist()) <= set(names):
        fail(f"dataset 'control/source' has unknown codes {sorted(set(codes.tolist()) - set(names))}")
    ticks = column("control/tick", (steps,), "i8")
    if np.any(np.diff(ticks) <= 0):
        fail("dataset 'control/tick' does not increase")
    info = EpisodeInfo(
        episode_id=str(attrs["episode_id"]),
        kind=EpisodeKind(attrs["kind"]),
        task=str(attrs["task"]),
        instruction=str(attrs["instruction"]),
        seed=int(attrs["seed"]),
        operator=str(attrs["operator"]),
        contract_json=str(attrs["contract"]),
        created_utc=str(attrs["created_utc"]),
        tags=json.loads(attrs["tags"]),
        pre_roll_steps=int(attrs["pre_roll_steps"]) if version > 1 else 0,
    )
    outcome = EpisodeOutcome(
        Outcome(attrs["outcome"]), str(attrs["outcome_reason"]), bool(attrs["terminated"]), bool(attrs["truncated"])
    )
    images = {s.name: CameraFrames(checked, s, steps).read(range(steps)) for s in contract.images if with_images}
    later = {}
    if version > 1:
        streams = (*contract.image_names, *contract.state_names)
        later = {
            "header_stamps_ns": {n: column(f"observation/header_stamp_ns/{n}", (steps,), "i8") for n in streams},
            "stream_receive_ns": {n: column(f"observation/receive_ns/{n}", (steps,), "i8") for n in streams},
            "clipped": checked.texts("control/clipped", steps),
            "streams": json.loads(attrs["streams"]),
            "image_compression": str(attrs["image_compression"]),
            "policy_tokens": checked.optional("action/policy_tokens", (steps, size), "i4"),
            "task_remaining": checked.optional("task/remaining", (steps,), "f4"),
        }
    return Episode(
        path=path,
        info=info,
        outcome=outcome,
        contract=contract,
        losses=json.loads(attrs["losses"]),
        images=images,
        state={s.name: column(f"observation/state/{s.name}", (steps, s.size), "f4") for s in contract.state},
        executed_actions=executed,
        policy_actions=column("action/policy", (steps, size), "f4"),
        human_actions=column("action/human", (steps, size), "f4"),
        sources=tuple(names[code] for code in codes.tolist()),
        reasons=checked.texts("control/reason", steps),
        adapter_versions=column("control/adapter_version", (steps,), "u4"),
        ticks=ticks,
        stamps_ns={
            "observation": column("observation/stamp_ns", (steps,), "i8"),
            "command": column("control/command_stamp_ns", (steps,), "i8"),
            "chunk": column("control/chunk_stamp_ns", (steps,), "i8"),
            "receive": column("control/receive_ns", (steps,), "i8"),
        },
        schema_version=version,
        schema_minor=int(attrs.get("schema_minor", 0)),
        **later,
    )


def read_frames(path: Path | str, steps: Sequence[int]) -> dict[str, np.ndarray]:
    """Images of some steps, {camera: (n, H, W, C)}; see types.Observation.

    Raises:
        EpisodeFormatError: unreadable, or a step beyond the end.
    """

    def read(path: Path, f: h5py.File) -> dict[str, np.ndarray]:
        checked, _, count, contract = read_head(path, f)
        return {spec.name: CameraFrames(checked, spec, count).read(steps) for spec in contract.images}

    return open_episode(Path(path), read)


def verify_checksums(path: Path | str) -> list[str]:
    """Names of what does not have the content that was recorded: datasets, and "attributes". Empty for version 1.

    Raises:
        EpisodeFormatError: not a readable episode file at all.
    """

    def verify(path: Path, f: h5py.File) -> list[str]:
        checked, attrs, steps, contract = read_head(path, f)
        if int(attrs["schema_version"]) < 2:
            return []
        expected = json.loads(attrs["checksums"])
        sums = expected["datasets"]
        cameras = {IMAGES + spec.name: spec for spec in contract.images}
        wrong = sorted(set(sums) ^ set(dataset_names(f)))
        for name in sorted(set(sums) - set(wrong)):
            try:
                if name in cameras:
                    frames = CameraFrames(checked, cameras[name], steps)
                    found = frames_checksum([_digest(frames.read([step])) for step in range(steps)])
                else:
                    dataset = checked.own(name)
                    found = values_checksum(checked.sized(name, dataset.shape, _dtype_name(dataset)))
            except Exception:  # what cannot be read is not what was recorded
                found = ""
            if found != sums[name]:
                wrong.append(name)
        return wrong + ["attributes"] * (attributes_checksum(attrs) != expected["attributes"])

    return open_episode(Path(path), verify)


def _dtype_name(dataset: h5py.Dataset) -> str:
    return "str" if h5py.check_string_dtype(dataset.dtype) else dataset.dtype.name


def _digest(frame: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(frame, frame.dtype.newbyteorder("<")).tobytes()).digest()


def list_episodes(directory: Path | str) -> list[Path]:
    """Finished episode files of a directory, by name; partial ones are never listed."""
    return sorted(p for p in Path(directory).glob("*.h5") if p.is_file())
