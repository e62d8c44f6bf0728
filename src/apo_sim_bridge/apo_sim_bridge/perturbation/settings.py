"""Parameters of the perturbations, by which a policy is measured, and trained, in another setting than its own. Pure.

A pair (low, high) is a range: each reset draws a value from it. Equal values fix it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from apo_core.config.parameters import Dataclass, declared_faults, group, parameter, parameter_values
from apo_core.errors import ConfigError
from apo_core.tasks.specs import TASKS, task_spec
from apo_sim_bridge.perturbation.appearance import BACKGROUNDS, TEXTURES

MAX_DISTRACTORS = 5
MAX_DELAY_STEPS = 40


@dataclass(frozen=True, slots=True)
class ScenePerturbation:
    """What stands where, and what it looks like. Raises ConfigError with every fault found, as the others here."""

    position_range_scale: float = parameter(
        1.0,
        "share of the usual range of start positions; 0 fixes them; the task may have narrower limits",
        low=0.0,
        high=max(spec.max_position_range_scale for spec in TASKS.values()),
    )
    target_range_scale: float = parameter(
        0.0,
        "share of the range in which each reset places the task's fixed target, such as the peg of NutAssemblySquare; "
        "0: its usual place",
        low=0.0,
        high=1.0,
    )
    background: str = parameter("default", "floor and walls", choices=tuple(BACKGROUNDS))
    texture: str = parameter("default", "table and objects", choices=tuple(TEXTURES))
    distractors: int = parameter(
        0,
        "objects of random shape, colour and size on the table, away from those of the task",
        low=0,
        high=MAX_DISTRACTORS,
    )

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class LightPerturbation:
    """The lights; shadows are never rendered."""

    light_intensity: tuple[float, float] = parameter(
        (1.0, 1.0), "share of the usual brightness of all lights, (low, high)", low=0.0, high=4.0
    )
    light_tint: tuple[float, float, float] = parameter(
        (1.0, 1.0, 1.0), "factors of red, green and blue of all lights", low=0.0, high=2.0
    )
    light_tint_range: float = parameter(
        0.0, "each reset changes each factor by at most this much, up or down", low=0.0, high=1.0
    )
    light_turn_rad: tuple[float, float, float] = parameter(
        (0.0, 0.0, 0.0), "turn of the lamps about x, y, z through the middle of the table, rad", low=-3.15, high=3.15
    )
    light_turn_range_rad: float = parameter(
        0.0, "each reset turns them further by at most this much about each axis, rad", low=0.0, high=1.5
    )
    headlight: float = parameter(1.0, "share of the usual light that comes from the camera", low=0.0, high=4.0)

    def __post_init__(self) -> None:
        _check(self, "light_intensity")


@dataclass(frozen=True, slots=True)
class CameraPerturbation:
    """The poses of cameras; axes are the camera's own: right, up, and back, away from what it sees."""

    moved_cameras: tuple[str, ...] = parameter(("agentview",), "images of the contract whose cameras are moved")
    camera_offset_m: tuple[float, float, float] = parameter(
        (0.0, 0.0, 0.0), "their offset right, up and back, m", low=-0.5, high=0.5
    )
    camera_offset_range_m: float = parameter(
        0.0, "each reset moves each of them further by at most this much along each axis, m", low=0.0, high=0.5
    )
    camera_turn_rad: tuple[float, float, float] = parameter(
        (0.0, 0.0, 0.0), "their turn about these axes, rad", low=-0.8, high=0.8
    )
    camera_turn_range_rad: float = parameter(
        0.0, "each reset turns each of them further by at most this much about each axis, rad", low=0.0, high=0.8
    )

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class DynamicsPerturbation:
    """Friction and mass. MuJoCo takes the greater friction of two bodies, so all of them are scaled together."""

    friction_scale: tuple[float, float] = parameter(
        (1.0, 1.0), "share of the usual friction of all contacts, (low, high)", low=0.05, high=5.0
    )
    gripper_friction_scale: tuple[float, float] = parameter(
        (1.0, 1.0),
        "the same of the fingers alone, on top of it; has no effect once the object's friction is the greater one",
        low=0.05,
        high=5.0,
    )
    mass_scale: tuple[float, float] = parameter(
        (1.0, 1.0), "share of the usual mass of the task's objects, (low, high)", low=0.1, high=10.0
    )

    def __post_init__(self) -> None:
        _check(self, "friction_scale", "gripper_friction_scale", "mass_scale")


@dataclass(frozen=True, slots=True)
class StreamPerturbation:
    """Latency and loss between robot and policy, in control steps; demonstrations are made without them."""

    observation_delay_steps: tuple[int, int] = parameter(
        (0, 0),
        "control steps that a camera frame takes to arrive, (low, high), drawn for each; it keeps its own stamp",
        low=0,
        high=MAX_DELAY_STEPS,
    )
    action_delay_steps: tuple[int, int] = parameter(
        (0, 0), "control steps that a command takes to be executed, (low, high), drawn for each", low=0, high=40
    )
    frame_drop_probability: float = parameter(
        0.0, "share of the frames of a camera with which a burst of lost frames begins", low=0.0, high=1.0
    )
    frame_drop_burst: tuple[int, int] = parameter(
        (1, 1), "frames that are lost in a row then, (low, high)", low=1, high=1000
    )

    def __post_init__(self) -> None:
        _check(self, "observation_delay_steps", "action_delay_steps", "frame_drop_burst")

    @property
    def holds_frames_back(self) -> bool:
        """Whether a frame may come late or never."""
        return self.observation_delay_steps != (0, 0) or self.frame_drop_probability > 0

    @property
    def holds_commands_back(self) -> bool:
        """Whether a command may be executed late."""
        return self.action_delay_steps != (0, 0)


@dataclass(frozen=True, slots=True)
class Perturbation:
    """What differs from the usual setting of a task; without arguments nothing does."""

    scene: ScenePerturbation = group(ScenePerturbation)
    light: LightPerturbation = group(LightPerturbation)
    camera: CameraPerturbation = group(CameraPerturbation)
    dynamics: DynamicsPerturbation = group(DynamicsPerturbation)
    streams: StreamPerturbation = group(StreamPerturbation)

    @property
    def changes(self) -> dict[str, Any]:
        """Parameter -> value, of all that are not at their defaults."""
        usual = parameter_values(Perturbation())
        return {name: value for name, value in parameter_values(self).items() if value != usual[name]}

    @property
    def text(self) -> str:
        """The changes as JSON, for the tag `perturbation` of episode files; empty without any."""
        return json.dumps(self.changes, sort_keys=True) if self.changes else ""

    @property
    def suffix(self) -> str:
        """Ending of a folder of data of this setting, such as `_3f2a91c0`; empty for the usual one."""
        return f"_{hashlib.sha256(self.text.encode()).hexdigest()[:8]}" if self.text else ""

    @property
    def still(self) -> Perturbation:
        """The same without delays and losses."""
        return dataclasses.replace(self, streams=StreamPerturbation())

    def faults(self, task: str, images: Collection[str] | None = None) -> list[str]:
        """What does not fit a task of TASKS, and the images of a contract where they are known."""
        spec, found = task_spec(task), []
        scale, least, limit = (
            self.scene.position_range_scale,
            spec.min_position_range_scale,
            spec.max_position_range_scale,
        )
        if not least <= scale <= limit:
            found.append(f"position_range_scale = {scale!r} must be in [{least:g}, {limit}] for task {task!r}")
        if self.scene.target_range_scale and spec.target is None:
            found.append(
                f"target_range_scale = {self.scene.target_range_scale!r} must be 0 for task {task!r}, which has no "
                "fixed target"
            )
        unknown = [] if images is None else [name for name in self.camera.moved_cameras if name not in images]
        if unknown and self.camera != CameraPerturbation():
            found.append(f"moved_cameras: {unknown} are no images of the contract, which has {list(images or ())}")
        return found


PERTURBATION_GROUPS: dict[type[Any], str] = {
    ScenePerturbation: "Perturbations (docs/how-to/perturbations.md). What stands where, and what it looks like.",
    LightPerturbation: "Perturbations of the light.",
    CameraPerturbation: "Perturbations of camera poses.",
    DynamicsPerturbation: "Perturbations of friction and mass.",
    StreamPerturbation: "Latency and lost frames, in control steps.",
}


def _check(config: Dataclass, *ranges: str) -> None:
    """Raises ConfigError with each value that its declaration rules out, else each range in the wrong order."""
    faults = declared_faults(config)
    if not faults:
        pairs = [(name, getattr(config, name)) for name in ranges]
        faults = [f"{name} = {pair} must be (low, high) with low <= high" for name, pair in pairs if pair[0] > pair[1]]
    if faults:
        raise ConfigError("perturbation (config/sim_bridge.yaml)", faults)
