"""Episodes in the layout of the released APO code (arXiv 2506.07127), which its data sets read with h5py.

An interaction is a file `<episode_id>.hdf5` with `data/timestep_<i>/{action, third_obs, is_human}` and
`data/task_description`; all demonstrations of a task are one file `<task>.hdf5` with
`demo_<i>/timestep_<i>/{action, third_obs}` and `demo_<i>/task_description` (the reader takes a group's number of keys
less one as its length).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from apo_core.errors import EpisodeToolError
from apo_core.types import ControlSource, EpisodeKind, StepLabel
from apo_episodes.episode import Episode
from apo_episodes.files import frame_blocks, new_folder, one_contract, unique_ids
from apo_episodes.formats.unit_actions import shown_actions, to_unit
from apo_episodes.hdf5.disk_file import new_hdf5
from apo_episodes.inspection.view import as_rgb
from apo_episodes.labeling import LabelRule

IS_HUMAN = {ControlSource.HUMAN: 1, ControlSource.POLICY: 2, ControlSource.HOLD: 0}  # 0: skipped
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class ApoOptions:
    """How to export."""

    camera: str = ""  # of third_obs; the contract's first if empty
    size: int = 224  # pixels, third_obs is size x size; 0: as recorded
    clip: bool = False  # cut off actions beyond the contract instead of rejecting them


def export_apo(episodes: Sequence[Episode], target: Path, options: ApoOptions) -> list[Path]:
    """Writes the episodes into a new folder; returns the files.

    Raises:
        EpisodeToolError: contracts that differ, an unknown camera, an action beyond the contract, or a target that
            exists.
        OSError: the disk is full.
    """
    contract = one_contract(episodes)
    unique_ids(episodes)
    camera = options.camera or next(iter(contract.image_names), "")
    if camera not in contract.image_names:
        raise EpisodeToolError(
            f"{episodes[0].path}: has no camera '{camera}'; "
            f"known: {', '.join(contract.image_names) or 'none'} (--camera)"
        )
    files = _files(episodes)
    with new_folder(target) as folder:
        for name, groups in files.items():
            with new_hdf5(folder / name) as (f, check):
                for group, episode in groups.items():
                    _write(f.create_group(group), episode, camera, options)
                    check()
    return [Path(target) / name for name in files]


def _files(episodes: Sequence[Episode]) -> dict[str, dict[str, Episode]]:
    """{file: {group: episode}}. Raises EpisodeToolError for two episodes of one name."""
    files: dict[str, dict[str, Episode]] = {}
    for episode in episodes:
        is_demonstration = episode.info.kind == EpisodeKind.DEMONSTRATION
        # the reader takes what stands before the first dot as the name
        text = episode.info.task if is_demonstration else episode.info.episode_id
        name = f"{_NOT_IN_NAMES.sub('_', text) or 'task'}.hdf5"
        groups = files.setdefault(name, {})
        group = f"demo_{sum(other != 'data' for other in groups)}" if is_demonstration else "data"
        if group in groups:
            raise EpisodeToolError(f"{episode.path}: another episode is written as {name} already")
        groups[group] = episode
    return files


def _write(group: h5py.Group, episode: Episode, camera: str, options: ApoOptions) -> None:
    group["task_description"] = episode.info.instruction
    actions = to_unit(episode, shown_actions(episode), options.clip)
    is_interaction = episode.info.kind == EpisodeKind.INTERACTION
    labels = episode.labels(LabelRule())  # a long rest of the operator is no correction
    for start, frames in frame_blocks(episode):
        for row, image in enumerate(frames[camera]):
            index = start + row
            step = group.create_group(f"timestep_{index}")
            step["action"] = actions[index]
            image = _resized(as_rgb(image), options.size)
            step.create_dataset("third_obs", data=image, compression="gzip", compression_opts=1)
            if is_interaction:
                driver = ControlSource.HOLD if labels[index] == StepLabel.UNUSED else episode.sources[index]
                step["is_human"] = np.int64(IS_HUMAN[driver])


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    import cv2

    if not size or image.shape[:2] == (size, size):
        return image
    shrinks = max(image.shape[:2]) > size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
