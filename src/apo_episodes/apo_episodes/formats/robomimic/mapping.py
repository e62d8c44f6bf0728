"""Which observation keys of a robomimic file make up which state key: `ee_pose=robot0_eef_pos,robot0_eef_quat`.

A mapping is a list of terms separated by commas, which are joined; a term is a key, `key[i]`, `key[i:j]`, or the
difference of two of these, `key[0]-key[1]`; `quaternion(key[i:j])` is the quaternion xyzw of a rotation vector.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from apo_core.errors import EpisodeToolError
from apo_core.rotations import canonical_quaternion, rotated

# robosuite's names for what config/contract.yaml calls so; the first one whose keys are there
STATE = {
    # eef_quat is the orientation of the hand's body, eef_quat_site (robosuite 1.5) that of the fingers' site
    "ee_pose": ("robot0_eef_pos,robot0_eef_quat_site", "robot0_eef_pos,robot0_eef_quat"),
    "gripper_width": ("robot0_gripper_qpos[0]-robot0_gripper_qpos[1]",),
    "joint_position": ("robot0_joint_pos",),
    "joint_velocity": ("robot0_joint_vel",),
}
CAMERAS = {"wrist": "robot0_eye_in_hand_image"}
_QUATERNION = re.compile(r"\s*quaternion\((.*)\)\s*")
_LEVEL = np.array([0.0, 0.0, 0.0, 1.0])
_PART = re.compile(r"\s*([A-Za-z0-9_]+)\s*(?:\[\s*(\d+)\s*(:\s*(\d+)\s*)?\])?\s*")


class StateMapping:
    """One state key made from observation keys.

    Raises:
        EpisodeToolError: the text is not a mapping.
    """

    def __init__(self, name: str, text: str):
        self.name, self.text = name, text
        self._terms: list[tuple[bool, list[tuple[str, slice]]]] = []  # (is a rotation vector, parts)
        for term in text.split(","):
            turn = _QUATERNION.fullmatch(term)
            parts = [_PART.fullmatch(part) for part in (turn[1] if turn else term).split("-")]
            if not all(parts) or len(parts) > (1 if turn else 2):
                raise EpisodeToolError(
                    f"--state {name}={text}: '{term}' is not a key, key[i], key[i:j], a difference of two of these or "
                    "quaternion(...) of one"
                )
            self._terms.append((turn is not None, [(part[1], _slice(part)) for part in parts if part]))

    @property
    def keys(self) -> tuple[str, ...]:
        """Observation keys it needs."""
        return tuple(key for _, parts in self._terms for key, _ in parts)

    def values(self, read: Callable[[str], np.ndarray]) -> np.ndarray:
        """float32 (T, n) from `read(key)`, (T, m).

        Raises:
            EpisodeToolError: `quaternion` of other than three columns.
        """
        columns = []
        for is_turn, term in self._terms:
            parts = [_rows(read(key))[:, part] for key, part in term]
            column = parts[0] - parts[1] if len(parts) == 2 else parts[0]
            columns.append(self._quaternions(column) if is_turn else column)
        return np.concatenate(columns, axis=1).astype(np.float32)

    def _quaternions(self, turns: np.ndarray) -> np.ndarray:
        """xyzw (T, 4) of rotation vectors (T, 3) [rad] of any length."""
        if turns.shape[1] != 3:
            raise EpisodeToolError(f"--state {self.name}={self.text}: a quaternion of {turns.shape}, expected (T, 3)")
        return np.reshape([canonical_quaternion(rotated(_LEVEL, one)) for one in turns.astype(np.float64)], (-1, 4))


def choose_mapping(
    name: str, asked: str | None, there: Collection[str], usual: Mapping[str, Sequence[str]] = STATE
) -> StateMapping:
    """The mapping asked for, else the first usual one whose keys are `there`, else the last usual one.

    Raises:
        EpisodeToolError: what is asked for is no mapping.
    """
    mappings = [StateMapping(name, text) for text in ([asked] if asked is not None else usual.get(name, (name,)))]
    return next((one for one in mappings if set(one.keys) <= set(there)), mappings[-1])


def turned_poses(poses: np.ndarray, rotation: Sequence[float]) -> np.ndarray:
    """Poses (T, 7), quaternions xyzw, seen in a frame that is turned by `rotation` within the end effector's.

    The quaternions are of norm 1, their largest component is positive.
    """
    x, y, z, w = np.moveaxis(poses[:, 3:].astype(np.float64), 1, 0)
    a, b, c, d = np.asarray(rotation, dtype=np.float64)
    product = np.stack(
        [
            w * a + x * d + y * c - z * b,
            w * b - x * c + y * d + z * a,
            w * c + x * b - y * a + z * d,
            w * d - x * a - y * b - z * c,
        ],
        axis=1,
    )
    quaternions = [canonical_quaternion(one) for one in product]
    return np.concatenate([poses[:, :3], np.reshape(quaternions, (-1, 4))], axis=1).astype(np.float32)


def _rows(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def _slice(match: re.Match) -> slice:
    if match[2] is None:
        return slice(None)
    start = int(match[2])
    return slice(start, int(match[4]) if match[3] else start + 1)
