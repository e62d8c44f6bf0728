"""Actions in [-1, 1], as robomimic and robosuite have them, and contract units."""

from __future__ import annotations

import numpy as np

from apo_core.contract.contract import Contract
from apo_core.errors import EpisodeToolError
from apo_core.types import EpisodeKind
from apo_episodes.episode import Episode

_ROUNDING = 1e-3  # share of full scale forgiven


def full_scale(contract: Contract) -> np.ndarray:
    """float64 (A,): the contract value that becomes 1; the larger limit of a dimension, so that 0 stays 0."""
    return np.maximum(np.abs(contract.action.low), np.abs(contract.action.high))


def shown_actions(episode: Episode) -> np.ndarray:
    """Executed actions; in a demonstration the expert's own, before noise was added. float32 (T, A), contract units."""
    if episode.info.kind != EpisodeKind.DEMONSTRATION:
        return episode.executed_actions
    absent = np.isnan(episode.human_actions).any(axis=1, keepdims=True)
    return np.where(absent, episode.executed_actions, episode.human_actions)


def to_unit(episode: Episode, actions: np.ndarray, clip: bool) -> np.ndarray:
    """Actions (T, A) of an episode as float32 in [-1, 1]; NaN stays.

    Raises:
        EpisodeToolError: an action is beyond the contract and `clip` is False.
    """
    scaled = actions.astype(np.float64) / full_scale(episode.contract)
    beyond = np.abs(scaled) > 1 + _ROUNDING
    if beyond.any() and not clip:
        step, dimension = np.argwhere(beyond)[0]
        spec = episode.contract.action
        raise EpisodeToolError(
            f"{episode.path}: action '{spec.names[dimension]}' = {actions[step, dimension]:.4g} at step {step} is "
            f"beyond the contract's {spec.low[dimension]} .. {spec.high[dimension]}; --clip cuts it off there"
        )
    return np.clip(scaled, -1, 1).astype(np.float32)
