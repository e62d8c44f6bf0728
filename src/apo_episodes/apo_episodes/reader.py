"""Reads and checks episode files; nothing in a file is trusted."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from apo_core.types import ControlSource, EpisodeInfo, EpisodeKind, EpisodeOutcome, Outcome
from apo_episodes.annotation import read_annotations
from apo_episodes.episode import Episode
from apo_episodes.hdf5.checked_file import CameraFrames, open_episode, read_head
from apo_episodes.hdf5.checksums import IMAGES, attributes_checksum, dataset_names, frames_checksum, values_checksum


def read_episode(path: Path | str, images: bool = True) -> Episode:
    """Reads and checks an episode file; an outcome that a person decided on later takes the place of the recorded one.

    Raises:
        EpisodeFormatError: not an episode, truncated, newer schema, or inconsistent with its contract; or its
            annotation is damaged.
    """
    episode = open_episode(Path(path), lambda path, f: _read(path, f, images))
    annotation = next(iter(read_annotations(path, episode.info.episode_id)[-1:]), None)
    if annotation is None or not annotation.outcome:
        return episode
    outcome = replace(episode.outcome, outcome=Outcome(annotation.outcome), reason=f"annotated: {annotation.note}")
    return replace(episode, outcome=outcome, recorded_outcome=episode.outcome, annotation=annotation)


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
            "rejections": json.loads(attrs.get("rejections", "{}")),
            "policy_tokens": checked.optional("action/policy_tokens", (steps, size), "i4"),
            "task_remaining": checked.optional("task/remaining", (steps,), "f4"),
            "stage_names": (stage_names := tuple(map(str, json.loads(attrs.get("stages", "[]"))))),
            "task_stages": checked.optional("task/stages", (steps, len(stage_names)), "i1"),
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


def read_frames(path: Path | str, steps: Sequence[int], cameras: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Images of some steps, {camera: (n, H, W, C)}; see types.Observation.

    Args:
        path: the file.
        steps: which.
        cameras: which; all of them when empty, and those that the file has.

    Raises:
        EpisodeFormatError: unreadable, or a step beyond the end.
    """

    def read(path: Path, f: h5py.File) -> dict[str, np.ndarray]:
        checked, _, count, contract = read_head(path, f)
        chosen = [spec for spec in contract.images if not cameras or spec.name in cameras]
        return {spec.name: CameraFrames(checked, spec, count).read(steps) for spec in chosen}

    return open_episode(Path(path), read)


def verify_checksums(path: Path | str) -> list[str]:
    """Names of datasets, or "attributes", whose content has changed since recording. Empty for version 1.

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
            except Exception:  # unreadable content counts as changed
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


def episode_marks(directory: Path | str) -> list[tuple[str, tuple[int, int]]]:
    """Name, and size and time of change [ns], of the files that `list_episodes` returns.

    Raises:
        OSError: the directory cannot be listed.
    """
    marks = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(".h5"):
                with contextlib.suppress(OSError):  # removed since the folder was listed
                    if entry.is_file():
                        status = entry.stat()
                        marks.append((entry.name, (status.st_size, status.st_mtime_ns)))
    return sorted(marks)
