"""Episode files: one HDF5 file an episode, facts only. The schema is the table in `SCHEMA`; labels are derived on load.

A file is written as `<directory>/.partial/<id>.h5` and renamed to `<directory>/<id>.h5` once complete and on disk, so a
file in the directory is always whole.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from apo_core.contract import Contract, contract_from_dict
from apo_core.errors import ConfigError, EpisodeFormatError
from apo_core.labeling import LabelRule, derive_labels, intervention_share, takeovers
from apo_core.safe_file import SafeFile
from apo_core.types import ControlSource, EpisodeInfo, EpisodeKind, EpisodeOutcome, Outcome, Step, StepLabel

SCHEMA_NAME = "apo.episode"
SCHEMA_VERSION = 1
# dataset -> (dtype, meaning); T steps, A action dimensions. Images and state follow the contract.
SCHEMA = {
    "observation/images/<camera>": ("uint8", "(T, H, W, 3) rgb"),
    "observation/state/<key>": ("float32", "(T, n) SI units of the contract"),
    "observation/stamp_ns": ("int64", "(T,) ROS time that the parts of the observation are aligned to"),
    "action/executed": ("float32", "(T, A) what the robot was told, contract units"),
    "action/policy": ("float32", "(T, A) the policy's action, executed or shadow; NaN without one"),
    "action/human": ("float32", "(T, A) the operator's action; NaN without one"),
    "control/source": ("enum", "(T,) who decided: POLICY, HUMAN, HOLD"),
    "control/reason": ("str", "(T,) why"),
    "control/adapter_version": ("uint32", "(T,) adapter behind action/policy; 0 is the base policy"),
    "control/tick": ("int64", "(T,) control tick of the arbiter; a gap is a lost command"),
    "control/command_stamp_ns": ("int64", "(T,) ROS time of publication"),
    "control/chunk_stamp_ns": ("int64", "(T,) observation behind action/policy; 0 without one"),
    "control/receive_ns": ("int64", "(T,) steady clock of the recorder on arrival"),
}
MAX_STEPS = 10_000_000
_MAX_INFLATION = 2000  # gzip reaches 1032; what claims more never fits into memory
_SOURCES = {source.value: code for code, source in enumerate(ControlSource)}
_ROWS_PER_FLUSH = 20
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class EpisodeWriter:
    """Writes one episode while it is recorded. Not thread-safe: one writer, one thread.

    Args:
        directory: where the finished file goes; created when missing.
        info: what is known at the start.
        contract: shapes and dtypes.
        compression: HDF5 filter of the images, `gzip` (level 1), `lzf` or `none`.

    Raises:
        ConfigError: a bad episode id or compression.
        FileExistsError: the episode exists already.
    """

    def __init__(self, directory: Path, info: EpisodeInfo, contract: Contract, compression: str = "gzip"):
        faults = []
        if not _ID.fullmatch(info.episode_id):
            faults.append(f"episode_id = {info.episode_id!r} must be letters, digits, '_', '-', '.', at most 128")
        if compression not in ("lzf", "gzip", "none"):
            faults.append(f"image_compression = {compression!r} must be lzf, gzip or none (config/recorder.yaml)")
        if faults:
            raise ConfigError("episode", faults)
        self.directory = Path(directory)
        self.path = self.directory / f"{info.episode_id}.h5"
        if self.path.exists():
            raise FileExistsError(f"episode file exists already: {self.path}")
        partial = self.directory / ".partial"
        partial.mkdir(parents=True, exist_ok=True)
        self.partial_path = partial / self.path.name
        self._info, self._contract, self._steps = info, contract, 0
        self._room = 0  # rows the image datasets have
        self._rows: list[dict[str, object]] = []  # steps whose columns are not in the file yet
        self._datasets: dict[str, h5py.Dataset] = {}
        self._disk = SafeFile(self.partial_path)
        self._file = h5py.File(self._disk, "w", libver="latest")
        self._create(None if compression == "none" else compression)

    def _create(self, compression: str | None) -> None:
        f, info, size = self._file, self._info, self._contract.action.size
        f.attrs.update(
            schema=SCHEMA_NAME,
            schema_version=SCHEMA_VERSION,
            episode_id=info.episode_id,
            kind=info.kind.value,
            task=info.task,
            instruction=info.instruction,
            seed=info.seed,
            operator=info.operator,
            contract=info.contract_json,
            created_utc=info.created_utc,
            tags=json.dumps(dict(info.tags), sort_keys=True),
        )

        def column(name, shape, dtype, **options):
            self._datasets[name] = f.create_dataset(name, (0, *shape), maxshape=(None, *shape), dtype=dtype, **options)

        for image in self._contract.images:
            shape = (image.height, image.width, 3)
            options = {"compression": compression} if compression else {}
            if compression == "gzip":
                options["compression_opts"] = 1  # level 4 costs 1.5 times the time for a tenth of the size
            column(f"observation/images/{image.name}", shape, "u1", chunks=(1, *shape), **options)
        for state in self._contract.state:
            column(f"observation/state/{state.name}", (state.size,), "f4", chunks=(256, state.size))
        for name in ("executed", "policy", "human"):
            column(f"action/{name}", (size,), "f4", chunks=(256, size))
        column("observation/stamp_ns", (), "i8", chunks=(256,))
        column("control/source", (), h5py.enum_dtype(_SOURCES, basetype="u1"), chunks=(256,))
        column("control/reason", (), h5py.string_dtype(), chunks=(256,))
        column("control/adapter_version", (), "u4", chunks=(256,))
        for name in ("tick", "command_stamp_ns", "chunk_stamp_ns", "receive_ns"):
            column(f"control/{name}", (), "i8", chunks=(256,))

    @property
    def num_steps(self) -> int:
        return self._steps

    def append(self, step: Step) -> None:
        """Adds a step.

        Raises:
            ObservationError: the observation does not fit the contract.
            OSError: the disk is full or gone.
        """
        self._contract.check_observation(step.observation)
        if self._steps == self._room:
            self._room += _ROWS_PER_FLUSH
            for spec in self._contract.images:
                self._datasets[f"observation/images/{spec.name}"].resize(self._room, axis=0)
        for spec in self._contract.images:
            self._datasets[f"observation/images/{spec.name}"][self._steps] = step.observation.images[spec.name]
        absent = np.full(self._contract.action.size, np.nan, np.float32)
        row = {
            "observation/stamp_ns": step.observation.stamp_ns,
            "action/executed": step.executed_action,
            "action/policy": absent if step.policy_action is None else step.policy_action,
            "action/human": absent if step.human_action is None else step.human_action,
            "control/source": _SOURCES[step.source.value],
            "control/reason": step.reason,
            "control/adapter_version": step.adapter_version,
            "control/tick": step.tick,
            "control/command_stamp_ns": step.command_stamp_ns,
            "control/chunk_stamp_ns": step.chunk_stamp_ns,
            "control/receive_ns": step.receive_ns,
        }
        row |= {f"observation/state/{s.name}": step.observation.state[s.name] for s in self._contract.state}
        self._rows.append(row)
        self._steps += 1
        if len(self._rows) >= _ROWS_PER_FLUSH:
            self._write_rows()
            self._file.flush()
            self._disk.check()

    def _write_rows(self) -> None:
        # a row at a time costs 10 ms a step in HDF5 calls
        start = self._steps - len(self._rows)
        for name in self._rows[0] if self._rows else ():
            dataset = self._datasets[name]
            dataset.resize(self._steps, axis=0)
            dataset[start:] = np.array([row[name] for row in self._rows], dataset.dtype)
        self._rows.clear()

    def truncate(self, num_steps: int) -> None:
        """Drops the steps from `num_steps` on."""
        self._write_rows()
        self._steps = min(num_steps, self._steps)

    def finish(self, outcome: EpisodeOutcome, losses: Mapping[str, int] | None = None) -> Path:
        """Completes the file, puts it on disk and publishes it under its final name; returns that path.

        Raises:
            OSError: the disk is full or gone; what was written stays in the partial file.
        """
        self._write_rows()
        for dataset in self._datasets.values():
            dataset.resize(self._steps, axis=0)
        self._file.attrs.update(
            outcome=outcome.outcome.value,
            outcome_reason=outcome.reason,
            terminated=outcome.terminated,
            truncated=outcome.truncated,
            num_steps=self._steps,
            losses=json.dumps(dict(losses or {}), sort_keys=True),
        )
        self._file.close()
        self._disk.sync()
        self._disk.close()
        os.replace(self.partial_path, self.path)
        _fsync(self.directory)
        return self.path

    def discard(self) -> None:
        """Drops the episode and its partial file."""
        self.abandon()
        self.partial_path.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Closes the partial file as it is."""
        self._file.close()
        self._disk.close()


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
    images: Mapping[str, np.ndarray]  # {camera: uint8 (T, H, W, 3)}; empty when read without images
    state: Mapping[str, np.ndarray]  # {key: float32 (T, n)}
    executed_actions: np.ndarray  # float32 (T, A)
    policy_actions: np.ndarray  # float32 (T, A)
    human_actions: np.ndarray  # float32 (T, A)
    sources: tuple[ControlSource, ...]
    reasons: tuple[str, ...]
    adapter_versions: np.ndarray  # uint32 (T,)
    ticks: np.ndarray  # int64 (T,)
    stamps_ns: Mapping[str, np.ndarray]  # {observation, command, chunk, receive: int64 (T,)}

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
        return derive_labels(self.sources, self.outcome.outcome, self.contract.rate_hz, rule, self.info.kind)


def read_episode(path: Path | str, images: bool = True) -> Episode:
    """Reads and checks an episode file.

    Raises:
        EpisodeFormatError: not an episode, truncated, newer schema, or inconsistent with its contract.
    """
    path = Path(path)
    try:
        with h5py.File(path, "r") as f:
            return _read(path, f, images)
    except EpisodeFormatError:
        raise
    except ConfigError as error:
        raise EpisodeFormatError(f"{path}: its contract is not usable: {error}") from None
    except Exception as error:  # h5py raises many types on a damaged file
        raise EpisodeFormatError(f"{path}: not a readable episode file ({type(error).__name__}: {error})") from None


def _read(path: Path, f: h5py.File, with_images: bool) -> Episode:
    def fail(message: str):
        raise EpisodeFormatError(f"{path}: {message}")

    attrs = dict(f.attrs)
    if attrs.get("schema") != SCHEMA_NAME:
        fail(f"schema = {attrs.get('schema')!r}, expected {SCHEMA_NAME!r}")
    version = int(attrs["schema_version"])
    if version > SCHEMA_VERSION:
        fail(f"schema version {version} is newer than this software reads ({SCHEMA_VERSION}): update apo")
    if "num_steps" not in attrs:
        fail("was never finished (no num_steps)")
    steps = int(attrs["num_steps"])
    if not 0 <= steps <= MAX_STEPS:
        fail(f"num_steps = {steps} must be 0..{MAX_STEPS}")
    contract = contract_from_dict(json.loads(attrs["contract"]), f"contract in {path}")
    size = contract.action.size

    file_size = path.stat().st_size

    def own(name: str) -> h5py.Dataset:
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            if not isinstance(f.get("/".join(parts[:depth]), getlink=True), h5py.HardLink):
                fail(f"dataset '{name}' is missing or is not stored in the file itself")
        dataset = f[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
            fail(f"'{name}' is not a dataset stored in the file itself")
        return dataset

    def column(name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        dataset = own(name)
        is_right = h5py.check_string_dtype(dataset.dtype) if dtype == "str" else dataset.dtype == np.dtype(dtype)
        if dataset.shape != (steps, *shape) or not is_right:
            fail(f"dataset '{name}' is {dataset.dtype} {dataset.shape}, expected {dtype} {(steps, *shape)}")
        if dataset.nbytes > _MAX_INFLATION * file_size:
            fail(f"dataset '{name}' claims {dataset.nbytes} bytes in a file of {file_size}")
        return dataset[()]

    executed = column("action/executed", (size,), "f4")
    if not np.all(np.isfinite(executed)):
        fail("dataset 'action/executed' has values that are not finite")
    codes = column("control/source", (), "u1")
    enum = h5py.check_enum_dtype(own("control/source").dtype) or {}
    names = {code: ControlSource(name) for name, code in enum.items()}
    if not set(codes.tolist()) <= set(names):
        fail(f"dataset 'control/source' has unknown codes {sorted(set(codes.tolist()) - set(names))}")
    ticks = column("control/tick", (), "i8")
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
    )
    outcome = EpisodeOutcome(
        Outcome(attrs["outcome"]), str(attrs["outcome_reason"]), bool(attrs["terminated"]), bool(attrs["truncated"])
    )
    return Episode(
        path=path,
        info=info,
        outcome=outcome,
        contract=contract,
        losses=json.loads(attrs["losses"]),
        images={s.name: column(f"observation/images/{s.name}", (s.height, s.width, 3), "u1") for s in contract.images}
        if with_images
        else {},
        state={s.name: column(f"observation/state/{s.name}", (s.size,), "f4") for s in contract.state},
        executed_actions=executed,
        policy_actions=column("action/policy", (size,), "f4"),
        human_actions=column("action/human", (size,), "f4"),
        sources=tuple(names[code] for code in codes.tolist()),
        reasons=tuple(text.decode() for text in column("control/reason", (), "str").tolist()),
        adapter_versions=column("control/adapter_version", (), "u4"),
        ticks=ticks,
        stamps_ns={
            "observation": column("observation/stamp_ns", (), "i8"),
            "command": column("control/command_stamp_ns", (), "i8"),
            "chunk": column("control/chunk_stamp_ns", (), "i8"),
            "receive": column("control/receive_ns", (), "i8"),
        },
    )


def read_frames(path: Path | str, steps: Sequence[int]) -> dict[str, np.ndarray]:
    """Images of some steps of a file that `read_episode` accepted, {camera: uint8 (n, H, W, 3) rgb}.

    Raises:
        EpisodeFormatError: unreadable, or a step beyond the end.
    """
    try:
        with h5py.File(path, "r") as f:
            images = f["observation/images"]
            return {name: np.stack([images[name][int(step)] for step in steps]) for name in images}
    except Exception as error:  # h5py raises many types on a damaged file
        raise EpisodeFormatError(f"{path}: images not readable ({type(error).__name__}: {error})") from None


def list_episodes(directory: Path | str) -> list[Path]:
    """Finished episode files of a directory, by name; partial ones are never listed."""
    return sorted(p for p in Path(directory).glob("*.h5") if p.is_file())
