"""LIBERO's demonstration files: robosuite data under other keys, with orientations as rotation vectors.

Layout: Lifelong-Robot-Learning/LIBERO, scripts/create_dataset.py. It stores the observation that follows an action in
the action's row, and the simulator state that precedes it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

import h5py
import numpy as np

STATE = {
    "ee_pose": ("ee_states[0:3],quaternion(ee_states[3:6])", "ee_pos,quaternion(ee_ori)"),
    "gripper_width": ("gripper_states[0]-gripper_states[1]",),
    "joint_position": ("joint_states",),
}
CAMERAS = {"agentview": "agentview_rgb", "wrist": "eye_in_hand_rgb"}
# values of a step
_SHAPES: Mapping[str, tuple[int, ...]] = {
    "ee_states": (6,),
    "ee_pos": (3,),
    "ee_ori": (3,),
    "gripper_states": (2,),
    "joint_states": (7,),
}
_ORIENTATIONS = {"opengl": "flip_vertical", "opencv": "none"}
_JOINTS = slice(1, 8)  # the arm's, in a row of `states`: time, positions, velocities


def is_libero(keys: Collection[str]) -> bool:
    """Whether observation keys are LIBERO's."""
    own = {*_SHAPES, *CAMERAS.values()} & set(keys)
    return len(own) >= 2 and not any(key.startswith("robot0_") for key in keys)


def instruction(attributes: Mapping[str, object]) -> str:
    """The instruction in the attributes of /data, without quotes; empty if they have none.

    Raises:
        ValueError: `problem_info` is not a JSON object, or its instruction neither a text nor a list of texts.
    """
    try:
        info = json.loads(_text(attributes.get("problem_info", "{}")))
    except ValueError as error:
        raise ValueError(f"problem_info is not JSON: {error}") from None
    found = info.get("language_instruction", "") if isinstance(info, dict) else None
    if isinstance(found, list) and all(isinstance(part, str) for part in found):
        # words, or the letters of the text
        found = (" " if any(len(part) > 1 for part in found) else "").join(found)
    if not isinstance(found, str):
        raise ValueError(f"problem_info = {info!r} must be an object with a text or a list as language_instruction")
    return " ".join(found.replace('"', "").split())


def orientation(attributes: Mapping[str, object]) -> str:
    """How pictures come upright, after `macros_image_convention`, robosuite's own (opengl) if absent.

    Raises:
        ValueError: a convention that is not known.
    """
    convention = _text(attributes.get("macros_image_convention", "opengl"))
    if convention not in _ORIENTATIONS:
        raise ValueError(f"macros_image_convention = {convention!r} is none of {', '.join(_ORIENTATIONS)}")
    return _ORIENTATIONS[convention]


def wrong_shapes(demo: h5py.Group, keys: Collection[str], steps: int) -> list[str]:
    """A line for each of the observation `keys` that has not LIBERO's shape."""
    wanted = {key: (steps, *_SHAPES[key]) for key in keys if key in _SHAPES}
    return [
        f"obs/{key} has shape {demo[f'obs/{key}'].shape}, expected {shape}"
        for key, shape in wanted.items()
        if demo[f"obs/{key}"].shape != shape
    ]


def observation_lag(demo: h5py.Group, steps: int) -> int:
    """1 where an observation is the one after its row's action, as LIBERO writes them; 0 where it precedes the action.

    `states` precede the actions, so the joints show which it is; without `states` it is taken as LIBERO writes.
    """
    states, joints = (np.asarray(demo[key][()]) if key in demo else None for key in ("states", "obs/joint_states"))
    if steps < 2 or states is None or joints is None or states.ndim != 2:
        return 1
    measured = states[:, _JOINTS]
    if not measured.shape == joints.shape == (steps, *_SHAPES["joint_states"]):
        return 1
    same, next_row = np.abs(joints - measured).mean(), np.abs(joints[:-1] - measured[1:]).mean()
    return 0 if same < next_row else 1


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
