"""Builds the HDF5 file of an episode from packed frames and rows: while it is recorded, or from a journal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from apo_core.action_tokens import known_tokens
from apo_core.contract.contract import Contract
from apo_core.types import EpisodeInfo, EpisodeOutcome, Step
from apo_episodes.hdf5.checksums import (
    IMAGES,
    attributes_checksum,
    dataset_names,
    frames_checksum,
    plain_attributes,
    values_checksum,
)
from apo_episodes.hdf5.disk_file import DiskFile
from apo_episodes.hdf5.image_codec import PackedFrame, dataset_options, is_jpeg, lossless_of
from apo_episodes.hdf5.schema import SCHEMA_MINOR, SCHEMA_NAME, SCHEMA_VERSION, SOURCES

ROWS_PER_FLUSH = 20
_TOKENS, _REMAINING, _STAGES = "action/policy_tokens", "task/remaining", "task/stages"


def step_row(step: Step, contract: Contract) -> dict[str, object]:
    """Values of a step, without its images, by dataset; of the optional ones those that are known."""
    observation = step.observation
    absent = np.full(contract.action.size, np.nan, np.float32)
    row = {
        "observation/stamp_ns": observation.stamp_ns,
        "action/executed": step.executed_action,
        "action/policy": absent if step.policy_action is None else step.policy_action,
        "action/human": absent if step.human_action is None else step.human_action,
        "control/source": SOURCES[step.source.value],
        "control/reason": step.reason,
        "control/clipped": step.clipped,
        "control/adapter_version": step.adapter_version,
        "control/tick": step.tick,
        "control/command_stamp_ns": step.command_stamp_ns,
        "control/chunk_stamp_ns": step.chunk_stamp_ns,
        "control/receive_ns": step.receive_ns,
    }
    for name in contract.state_names:
        row[f"observation/state/{name}"] = observation.state[name]
    for name in (*contract.image_names, *contract.state_names):
        row[f"observation/header_stamp_ns/{name}"] = observation.header_stamps_ns.get(name, 0)
        row[f"observation/receive_ns/{name}"] = observation.receive_ns.get(name, 0)
    tokens = known_tokens(step.policy_tokens, (contract.action.size,))
    if tokens is not None and step.policy_action is not None:
        row[_TOKENS] = tokens
    if step.task_remaining is not None and 0 <= step.task_remaining < math.inf:
        row[_REMAINING] = float(step.task_remaining)
    if step.task_stages:
        row[_STAGES] = {name: bool(reached) for name, reached in step.task_stages.items()}
    return row


class Hdf5Writer:
    """An HDF5 file that grows by a step at a time. Not thread-safe.

    Args:
        path: created or emptied.
        info: what is known at the start.
        contract: shapes and dtypes.
        compression: see image_codec.COMPRESSIONS.

    Raises:
        OSError: it cannot be created.
    """

    def __init__(self, path: Path, info: EpisodeInfo, contract: Contract, compression: str):
        self._contract, self._steps, self._room = contract, 0, 0  # room: rows the image datasets have
        self._rows: list[dict[str, Any]] = []  # of steps whose columns are not in the file yet
        self._datasets: dict[str, h5py.Dataset] = {}
        self._frames: dict[str, list[bytes]] = {}  # camera -> digests of its frames
        self._jpeg: dict[str, list[bytes]] = {}  # camera -> files not in the file yet
        self._jpeg_ends: dict[str, list[int]] = {}
        self._texts: dict[str, list[bytes]] = {"control/reason": [], "control/clipped": []}  # written at the end
        # of every step, None where unknown; written at the end if any is known
        self._optional: dict[str, list[object]] = {_TOKENS: [], _REMAINING: []}
        self._stages: list[dict[str, bool] | None] = []  # the same
        self._unknown: dict[str, np.ndarray] = {
            _TOKENS: np.full(contract.action.size, -1, np.int32),
            _REMAINING: np.array(np.nan, np.float32),
        }
        self._disk = DiskFile(path)
        self._file = h5py.File(self._disk, "w", libver="latest")
        self._create(info, compression)

    def _column(self, name: str, shape: tuple[int, ...], dtype: object, **options: object) -> None:
        options = {"chunks": (256, *shape)} | options
        dataset = self._file.create_dataset(name, (0, *shape), maxshape=(None, *shape), dtype=dtype, **options)
        self._datasets[name] = dataset

    def _attributes(self, **values: object) -> None:
        for name, value in values.items():
            if isinstance(value, str):
                # texts of fixed length lie in checksummed headers, those of variable length in a heap that is not
                text = value.encode()
                self._file.attrs.create(name, text, dtype=h5py.string_dtype("utf-8", max(1, len(text))))
            else:
                self._file.attrs[name] = value

    def _create(self, info: EpisodeInfo, compression: str) -> None:
        self._attributes(
            schema=SCHEMA_NAME,
            schema_version=SCHEMA_VERSION,
            schema_minor=SCHEMA_MINOR,
            episode_id=info.episode_id,
            kind=info.kind.value,
            task=info.task,
            instruction=info.instruction,
            seed=info.seed,
            operator=info.operator,
            contract=info.contract_json,
            created_utc=info.created_utc,
            tags=json.dumps(dict(info.tags), sort_keys=True),
            pre_roll_steps=info.pre_roll_steps,
            image_compression=compression,
        )
        size = self._contract.action.size
        for image in self._contract.images:
            if is_jpeg(compression, image.dtype):
                self._jpeg[image.name], self._jpeg_ends[image.name] = [], []
                self._column(f"observation/jpeg/{image.name}/bytes", (), "u1", chunks=(1 << 16,))
                self._column(f"observation/jpeg/{image.name}/end", (), "i8")
                continue
            self._frames[image.name] = []
            options = dataset_options(lossless_of(compression))
            self._column(f"{IMAGES}{image.name}", image.shape, image.dtype, chunks=(1, *image.shape), **options)
        for state in self._contract.state:
            self._column(f"observation/state/{state.name}", (state.size,), "f4")
        for name in ("executed", "policy", "human"):
            self._column(f"action/{name}", (size,), "f4")
        self._column("control/source", (), h5py.enum_dtype(SOURCES, basetype="u1"))
        self._column("control/adapter_version", (), "u4")
        for name in ("tick", "command_stamp_ns", "chunk_stamp_ns", "receive_ns"):
            self._column(f"control/{name}", (), "i8")
        self._column("observation/stamp_ns", (), "i8")
        for name in (*self._contract.image_names, *self._contract.state_names):
            self._column(f"observation/header_stamp_ns/{name}", (), "i8")
            self._column(f"observation/receive_ns/{name}", (), "i8")

    @property
    def num_steps(self) -> int:
        return self._steps

    def append(self, row: Mapping[str, object], frames: Sequence[PackedFrame]) -> None:
        """Adds a step: its row, and its frames in the order of the contract.

        Raises:
            OSError: the disk is full or gone.
        """
        if self._steps == self._room:
            self._room += ROWS_PER_FLUSH
            for name in self._frames:
                self._datasets[IMAGES + name].resize(self._room, axis=0)
        for image, frame in zip(self._contract.images, frames, strict=True):
            if image.name in self._jpeg:
                ends = self._jpeg_ends[image.name]
                self._jpeg[image.name].append(frame.data)
                ends.append((ends[-1] if ends else 0) + len(frame.data))
            else:
                self._datasets[IMAGES + image.name].id.write_direct_chunk((self._steps, 0, 0, 0), frame.data)
                self._frames[image.name].append(frame.digest)
        self._rows.append(dict(row))
        self._steps += 1
        if len(self._rows) >= ROWS_PER_FLUSH:
            self._write_rows()
            self._file.flush()
            self._disk.check()

    def _write_rows(self) -> None:
        # a row at a time costs 10 ms a step in HDF5 calls
        if not self._rows:
            return
        start = self._steps - len(self._rows)
        for name, texts in self._texts.items():
            texts += [row.pop(name).encode() for row in self._rows]
        for name, values in self._optional.items():
            values += [row.pop(name, None) for row in self._rows]
        self._stages += [row.pop(_STAGES, None) for row in self._rows]
        for name in self._rows[0]:
            self._extend(name, start, np.array([row[name] for row in self._rows], self._datasets[name].dtype))
        self._rows.clear()
        for name, files in self._jpeg.items():
            ends = self._jpeg_ends[name]
            self._extend(f"observation/jpeg/{name}/bytes", ends[start - 1] if start else 0, _joined(files))
            self._extend(f"observation/jpeg/{name}/end", start, np.array(ends[start:], "i8"))
            files.clear()

    def _extend(self, name: str, start: int, values: np.ndarray) -> None:
        dataset = self._datasets[name]
        dataset.resize(start + len(values), axis=0)
        dataset[start:] = values

    def truncate(self, num_steps: int) -> None:
        """Drops the steps from `num_steps` on."""
        self._write_rows()
        self._steps = min(num_steps, self._steps)

    def finish(
        self,
        outcome: EpisodeOutcome,
        losses: Mapping[str, int],
        streams: Mapping[str, object],
        rejections: Mapping[str, int] | None = None,
    ) -> None:
        """Completes the file and puts it on the disk.

        Raises:
            OSError: the disk is full or gone.
        """
        self._write_rows()
        lengths = {f"observation/jpeg/{n}/bytes": e[self._steps - 1] for n, e in self._jpeg_ends.items() if self._steps}
        for name, dataset in self._datasets.items():
            dataset.resize(lengths.get(name, self._steps if not name.endswith("/bytes") else 0), axis=0)
        for name, texts in self._texts.items():
            values = np.array(texts[: self._steps], "S")
            kind = h5py.string_dtype("utf-8", max(1, values.dtype.itemsize))
            options = {"maxshape": (None,), "chunks": (256,), "compression": "gzip", "compression_opts": 1}
            self._file.create_dataset(name, data=values.astype(kind), **options)
        self._write_optional()
        self._write_stages()
        self._attributes(
            outcome=outcome.outcome.value,
            outcome_reason=outcome.reason,
            terminated=outcome.terminated,
            truncated=outcome.truncated,
            losses=json.dumps(dict(losses), sort_keys=True),
            streams=json.dumps(dict(streams), sort_keys=True),
        )
        if rejections:
            self._attributes(rejections=json.dumps(dict(rejections), sort_keys=True))
        self._attributes(num_steps=self._steps)
        frames = {IMAGES + name: digests[: self._steps] for name, digests in self._frames.items()}
        sums = {
            name: frames_checksum(frames[name]) if name in frames else values_checksum(self._file[name])
            for name in dataset_names(self._file)
        }
        checksums = {"datasets": sums, "attributes": attributes_checksum(plain_attributes(self._file))}
        self._attributes(checksums=json.dumps(checksums, sort_keys=True))
        self._file.close()
        self._disk.sync()
        self._disk.close()

    def _write_optional(self) -> None:
        for name, steps in self._optional.items():
            values = steps[: self._steps]
            if all(value is None for value in values):
                continue
            unknown = self._unknown[name]
            column = np.array([unknown if value is None else value for value in values], unknown.dtype)
            chunks = (256, *unknown.shape)
            self._file.create_dataset(name, data=column, maxshape=(None, *unknown.shape), chunks=chunks)

    def _write_stages(self) -> None:
        """The stages of the first step that has any; a step with others is unknown."""
        steps = self._stages[: self._steps]
        names = next((list(stages) for stages in steps if stages), None)
        if names is None:
            return
        unknown = [-1] * len(names)
        rows = [list(stages.values()) if stages and list(stages) == names else unknown for stages in steps]
        column = np.array(rows, np.int8)
        self._file.create_dataset(_STAGES, data=column, maxshape=(None, len(names)), chunks=(256, len(names)))
        self._attributes(stages=json.dumps(names))

    def close(self) -> None:
        """Closes the file as it is."""
        self._file.close()
        self._disk.close()


def _joined(files: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(files), np.uint8)
