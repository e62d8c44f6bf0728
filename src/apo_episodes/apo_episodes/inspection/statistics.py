"""Normalisation statistics of episode files, in the form of a checkpoint's dataset_statistics.json and more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from apo_core.actions import normalised_dimensions
from apo_core.errors import EpisodeToolError
from apo_core.system.text_columns import align_columns
from apo_core.types import ControlSource
from apo_episodes.episode import Episode
from apo_episodes.files import one_contract
from apo_episodes.labeling import LabelRule
from apo_episodes.takeover_windows import window_statistics

ACTIONS = ("executed", "policy", "human")
_LAST_K = LabelRule()


def statistics(episodes: Sequence[Episode], which: str = "executed", rule: LabelRule = _LAST_K) -> dict[str, Any]:
    """q01, q99, mean, standard deviation, smallest and largest value of each action and state dimension.

    A superset of what `apo_vla.checkpoints.statistics.read_statistics` reads. The gripper is not normalised
    (mask). Steps whose action is absent are left out, their state too. `undesirable_windows` gives how long
    the windows before takeovers are.

    Args:
        episodes: of one contract.
        which: the executed action, the policy's or the operator's.
        rule: of the windows.

    Raises:
        EpisodeToolError: contracts that differ, or no step with that action.
    """
    contract = one_contract(episodes)
    actions = np.concatenate([getattr(episode, f"{which}_actions") for episode in episodes]).astype(np.float64)
    present = ~np.isnan(actions).any(axis=1)
    if not present.any():
        raise EpisodeToolError(f"{episodes[0].path}: none of the {len(episodes)} files has a step with action/{which}")
    return {
        "contract_sha256": contract.sha256,
        "num_frames": int(present.sum()),
        "num_episodes": len(episodes),
        "action": {
            **_moments(actions[present]),
            "mask": normalised_dimensions(contract.action.size),
            "names": list(contract.action.names),
            "units": list(contract.action.units),
        },
        "state": {
            part.name: {**_moments(np.concatenate([e.state[part.name] for e in episodes])[present]), "unit": part.unit}
            for part in contract.state
        },
        "human_rest": {
            "human_steps": sum(source == ControlSource.HUMAN for e in episodes for source in e.sources),
            "steps": sum(int(e.resting.sum()) for e in episodes),
            "left_out": sum(e.rest_steps_left_out(rule) for e in episodes),
        },
        "undesirable_windows": window_statistics(
            [window for episode in episodes for window in episode.undesirable_windows(rule)], rule.undesirable_rule
        ),
    }


def _moments(values: np.ndarray) -> dict[str, list[float]]:
    values = np.asarray(values, dtype=np.float64)
    return {
        "q01": np.quantile(values, 0.01, axis=0).tolist(),
        "q99": np.quantile(values, 0.99, axis=0).tolist(),
        "mean": values.mean(axis=0).tolist(),
        "std": values.std(axis=0).tolist(),
        "min": values.min(axis=0).tolist(),
        "max": values.max(axis=0).tolist(),
    }


def format_statistics(numbers: dict[str, Any]) -> str:
    """`statistics` as aligned text."""
    action = numbers["action"]
    lines = [f"{numbers['num_frames']} steps of {numbers['num_episodes']} episodes"]
    head = ("q01", "q99", "mean", "std", "min", "max")
    names = zip(action["names"], action["units"], strict=True)
    dimensions = [(f"action {name} [{unit}]", action, i) for i, (name, unit) in enumerate(names)]
    for key, part in numbers["state"].items():
        dimensions += [(f"{key}[{i}]", part, i) for i in range(len(part["mean"]))]
    rows = [(name, *(f"{part[one][i]:.4g}" for one in head)) for name, part, i in dimensions]
    lines += align_columns([("", *head), *rows], left=1)
    rest = numbers["human_rest"]
    if rest["steps"]:
        lines.append(
            f"the operator rests in {rest['steps']} of {rest['human_steps']} steps in control; "
            f"{rest['left_out']} of them are left out of the corrections"
        )
    windows = numbers["undesirable_windows"]
    if windows["number"]:
        lines.append(
            f"{windows['number']} windows of undesirable steps by {windows['rule']}: {windows['min_steps']} to "
            f"{windows['max_steps']} steps, median {windows['median_steps']:g}; "
            f"{windows['fallbacks']} fell back to last_k"
        )
    return "\n".join(lines)
