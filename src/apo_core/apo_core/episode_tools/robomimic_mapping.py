"""Which observation keys of a robomimic file make up which state key: `ee_pose=robot0_eef_pos,robot0_eef_quat`.

A mapping is a list of terms separated by commas, which are joined; a term is a key, `key[i]`, `key[i:j]`, or the
difference of two of these, `key[0]-key[1]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from apo_core.errors import EpisodeToolError

# robosuite's names for what config/contract.yaml calls
STATE = {
    "ee_pose": "robot0_eef_pos,robot0_eef_quat",
    "gripper_width": "robot0_gripper_qpos[0]-robot0_gripper_qpos[1]",
    "joint_position": "robot0_joint_pos",
    "joint_velocity": "robot0_joint_vel",
}
CAMERAS = {"wrist": "robot0_eye_in_hand_image"}
_PART = re.compile(r"\s*([A-Za-z0-9_]+)\s*(?:\[\s*(\d+)\s*(:\s*(\d+)\s*)?\])?\s*")


class StateMapping:
    """One state key made from observation keys.

    Raises:
        EpisodeToolError: the text is not a mapping.
    """

    def __init__(self, name: str, text: str):
        self.name, self.text = name, text
        self._terms: list[list[tuple[str, slice]]] = []
        for term in text.split(","):
            parts = [_PART.fullmatch(part) for part in term.split("-")]
            if not all(parts) or len(parts) > 2:
                raise EpisodeToolError(
                    f"--state {name}={text}: '{term}' is not a key, key[i], key[i:j] or a difference of two of these"
                )
            self._terms.append([(part[1], _slice(part)) for part in parts if part])

    @property
    def keys(self) -> tuple[str, ...]:
        """Observation keys it needs."""
        return tuple(key for term in self._terms for key, _ in term)

    def values(self, read: Callable[[str], np.ndarray]) -> np.ndarray:
        """float32 (T, n) from `read(key)`, (T, m)."""
        columns = []
        for term in self._terms:
            parts = [_rows(read(key))[:, part] for key, part in term]
            columns.append(parts[0] - parts[1] if len(parts) == 2 else parts[0])
        return np.concatenate(columns, axis=1).astype(np.float32)


def _rows(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def _slice(match: re.Match) -> slice:
    if match[2] is None:
        return slice(None)
    start = int(match[2])
    return slice(start, int(match[4]) if match[3] else start + 1)
