"""Episodes as a robomimic 0.3 data set: one HDF5 file, actions in [-1, 1], the intervention keys of Sirius.

Layout: https://robomimic.github.io/docs/datasets/overview.html; `action_modes` and `intv_labels`: arXiv 2211.08416.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from apo_core.errors import EpisodeToolError
from apo_core.types import ControlSource, EpisodeKind, Outcome, StepLabel
from apo_episodes.curate.selection import draw_parts
from apo_episodes.episode import Episode
from apo_episodes.files import frame_blocks, new_file, one_contract, unique_ids
from apo_episodes.formats.unit_actions import full_scale, shown_actions, to_unit
from apo_episodes.hdf5.disk_file import new_hdf5
from apo_episodes.labeling import LabelRule

DEMONSTRATION, ROBOT, HUMAN, BEFORE_INTERVENTION = -1, 0, 1, -10
_ROBOSUITE = 1  # robomimic.envs.env_base.EnvType


@dataclass(frozen=True, slots=True)
class RobomimicOptions:
    """How to export."""

    rule: LabelRule = field(default_factory=LabelRule)  # which steps are before an intervention
    next_obs: bool = True  # robomimic's default configuration reads them; they double the file
    valid_share: float = 0.1  # of the episodes, for mask/valid, at least one; 0: no masks train and valid
    seed: int = 0  # of that draw
    clip: bool = False  # cut off actions beyond the contract instead of rejecting them
    env_args: Mapping[str, Any] | None = None  # of the environment; made from the episodes if None


def export_robomimic(episodes: Sequence[Episode], target: Path, options: RobomimicOptions) -> int:
    """Writes the episodes as demo_0, demo_1, ... in their order; returns the number of transitions.

    Raises:
        EpisodeToolError: contracts or tasks that differ, an empty episode, an action beyond the contract, or a target
            that exists.
    """
    contract = one_contract(episodes)
    unique_ids(episodes)
    empty = [str(episode.path) for episode in episodes if not episode.num_steps]
    if empty:
        raise EpisodeToolError(f"{', '.join(empty)}: has no steps, robomimic takes none without")
    tasks = sorted({episode.info.task for episode in episodes})
    if len(tasks) > 1 and options.env_args is None:
        raise EpisodeToolError(
            f"{target}: the episodes are of the tasks {', '.join(tasks)}, a robomimic file has one environment; "
            "choose one with `apo episodes filter --task`, or name it with --env-args"
        )
    total = sum(episode.num_steps for episode in episodes)
    with new_file(target) as partial, new_hdf5(partial) as (f, check):
        data = f.create_group("data")
        data.attrs["total"] = total
        data.attrs["env_args"] = json.dumps(dict(options.env_args or _env_args(episodes[0])), indent=4)
        data.attrs["action_scale"] = full_scale(contract)  # contract value of 1
        data.attrs["action_names"] = json.dumps(list(contract.action.names))
        data.attrs["action_units"] = json.dumps(list(contract.action.units))
        data.attrs["label_rule"] = json.dumps(asdict(options.rule))
        for index, episode in enumerate(episodes):
            _write_demo(data.create_group(f"demo_{index}"), episode, options)
            check()
        for name, members in _masks(episodes, options).items():
            f[f"mask/{name}"] = np.array([f"demo_{index}" for index in members], dtype="S")
    return total


def _env_args(episode: Episode) -> dict[str, Any]:
    contract = episode.contract
    return {
        "env_name": episode.info.task,
        "env_version": "",
        "type": _ROBOSUITE,
        "env_kwargs": {
            "control_freq": contract.rate_hz,
            "camera_names": list(contract.image_names),
            "camera_heights": [spec.height for spec in contract.images],
            "camera_widths": [spec.width for spec in contract.images],
        },
    }


def _write_demo(group: h5py.Group, episode: Episode, options: RobomimicOptions) -> None:
    info, steps = episode.info, episode.num_steps
    group.attrs.update(
        num_samples=steps,
        episode_id=info.episode_id,
        instruction=info.instruction,
        operator=info.operator,
        outcome=str(episode.outcome.outcome),
        adapter_versions=sorted(set(episode.adapter_versions.tolist())),
    )
    last = np.arange(steps) == steps - 1
    group["actions"] = to_unit(episode, shown_actions(episode), options.clip)
    # requested actions may exceed the contract, the arbiter limits them
    group["policy_actions"] = to_unit(episode, episode.policy_actions, clip=True)
    group["human_actions"] = to_unit(episode, episode.human_actions, clip=True)
    if episode.policy_tokens is not None:
        group["policy_tokens"] = episode.policy_tokens
    if episode.task_remaining is not None:
        group["task_remaining"] = episode.task_remaining
    group["rewards"] = (last & (episode.outcome.outcome == Outcome.SUCCESS)).astype(np.float64)
    group["dones"] = last.astype(np.int64)
    modes = action_modes(episode)
    group["action_modes"] = modes
    group["intv_labels"] = intervention_labels(episode, modes, options.rule)
    group["adapter_versions"] = episode.adapter_versions
    group["hold"] = np.array([source == ControlSource.HOLD for source in episode.sources], dtype=np.uint8)
    observations = [("obs", 0)] + ([("next_obs", 1)] if options.next_obs else [])
    for name, values in episode.state.items():
        for kind, ahead in observations:
            group[f"{kind}/{name}"] = values[np.minimum(np.arange(steps) + ahead, steps - 1)]
    for kind, _ in observations:
        for spec in episode.contract.images:
            group.create_dataset(
                f"{kind}/{spec.name}_image",
                (steps, *spec.shape),
                spec.dtype,
                chunks=(1, *spec.shape),
                compression="gzip",
                compression_opts=1,
            )
    for start, frames in frame_blocks(episode):
        for name, values in frames.items():
            end = start + len(values)
            group[f"obs/{name}_image"][start:end] = values
            if options.next_obs:
                shifted = group[f"next_obs/{name}_image"]
                if start:
                    shifted[start - 1 : end - 1] = values
                elif end > 1:
                    shifted[: end - 1] = values[1:]
                shifted[end - 1] = values[-1]  # repeats the last step, whose successor was not recorded


def action_modes(episode: Episode) -> np.ndarray:
    """int64 (T,): -1 demonstration, 1 the operator, 0 the robot (HOLD included)."""
    if episode.info.kind == EpisodeKind.DEMONSTRATION:
        return np.full(episode.num_steps, DEMONSTRATION, np.int64)
    return np.array([HUMAN if s == ControlSource.HUMAN else ROBOT for s in episode.sources], dtype=np.int64)


def intervention_labels(episode: Episode, modes: np.ndarray, rule: LabelRule) -> np.ndarray:
    """`action_modes` with -10 in the steps that are undesirable under `rule`, int64 (T,)."""
    undesirable = np.array([label == StepLabel.UNDESIRABLE for label in episode.labels(rule)], dtype=bool)
    return np.where(undesirable, BEFORE_INTERVENTION, modes)


def _masks(episodes: Sequence[Episode], options: RobomimicOptions) -> dict[str, list[int]]:
    """{filter key: demo numbers}; a key that would be empty is left out."""
    everything = range(len(episodes))
    masks = {
        "demonstration": [i for i in everything if episodes[i].info.kind == EpisodeKind.DEMONSTRATION],
        "interaction": [i for i in everything if episodes[i].info.kind == EpisodeKind.INTERACTION],
        "intervened": [
            i for i in everything if episodes[i].info.kind == EpisodeKind.INTERACTION and episodes[i].takeovers
        ],
        **{outcome.lower(): [i for i in everything if episodes[i].outcome.outcome == outcome] for outcome in Outcome},
    }
    if options.valid_share > 0 and len(episodes) > 1:
        # at least one of each, so that a small data set can be validated too
        share = min(max(options.valid_share, 1 / len(episodes)), 1 - 1 / len(episodes))
        masks.update(draw_parts(len(episodes), {"valid": share, "train": 1 - share}, options.seed))
    return {name: members for name, members in masks.items() if members}
