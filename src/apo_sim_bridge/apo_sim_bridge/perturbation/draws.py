"""What one reset draws, each kind from a stream of its own, so that one of them changes no other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from apo_core.tasks.task_spec import MovableTarget
from apo_sim_bridge.perturbation.settings import Perturbation

_TRIES = 200


class Stream(IntEnum):
    """Random streams of a seed beside the simulation's own; 1 and 2 are those of the demonstrations."""

    LIGHT = 3
    CAMERA = 4
    DYNAMICS = 5
    TARGET = 6
    DISTRACTORS = 7
    FRAMES = 8
    COMMANDS = 9

    def of(self, seed: int) -> np.random.Generator:
        """The stream of an episode's seed."""
        return np.random.default_rng([seed, self.value])


@dataclass(frozen=True, slots=True)
class CameraShift:
    """Motion of a camera in its own axes: right, up, back."""

    offset_m: np.ndarray  # float64 (3,)
    turn_rad: np.ndarray  # float64 (3,), rotation vector


@dataclass(frozen=True, slots=True)
class SceneDraw:
    """Light, cameras and dynamics of one episode."""

    light_factors: np.ndarray  # float64 (3,): of red, green, blue, intensity included
    light_turn_rad: np.ndarray  # float64 (3,) about world x, y, z
    cameras: dict[str, CameraShift]  # image -> motion
    friction: float
    gripper_friction: float
    mass: float


def draw_scene(perturbation: Perturbation, seed: int) -> SceneDraw:
    """What the episode of `seed` draws; the same arguments give the same draw."""
    light, camera, dynamics = perturbation.light, perturbation.camera, perturbation.dynamics
    rng = Stream.LIGHT.of(seed)
    intensity = rng.uniform(*light.light_intensity)
    tint = np.asarray(light.light_tint) + rng.uniform(-1.0, 1.0, 3) * light.light_tint_range
    turn = np.asarray(light.light_turn_rad) + rng.uniform(-1.0, 1.0, 3) * light.light_turn_range_rad
    rng, shifts = Stream.CAMERA.of(seed), {}
    for name in camera.moved_cameras:
        offset = np.asarray(camera.camera_offset_m) + rng.uniform(-1.0, 1.0, 3) * camera.camera_offset_range_m
        angle = np.asarray(camera.camera_turn_rad) + rng.uniform(-1.0, 1.0, 3) * camera.camera_turn_range_rad
        shifts[name] = CameraShift(offset, angle)
    rng = Stream.DYNAMICS.of(seed)
    ranges = (dynamics.friction_scale, dynamics.gripper_friction_scale, dynamics.mass_scale)
    friction, gripper_friction, mass = (float(rng.uniform(*each)) for each in ranges)
    return SceneDraw(intensity * np.clip(tint, 0.0, None), turn, shifts, friction, gripper_friction, mass)


def draw_target(
    target: MovableTarget, rest: Sequence[float], scale: float, others: Sequence[np.ndarray], seed: int
) -> np.ndarray:
    """Where the fixed target of a task stands in the episode of `seed`, float64 (2,) m.

    Args:
        target: its range, and how far it stays from the objects.
        rest: (2,) its usual place.
        scale: 0 keeps that place, 1 draws from the whole range, values between from a range between.
        others: (2,) places of the task's objects.
        seed: of the episode.
    """
    rng, usual = Stream.TARGET.of(seed), np.asarray(rest, np.float64)
    low, high = (usual + scale * (np.asarray(corner) - usual) for corner in (target.low, target.high))
    best, best_distance = usual, -1.0
    for _ in range(_TRIES):
        place = rng.uniform(low, high)
        distance = min((float(np.linalg.norm(place - other)) for other in others), default=np.inf)
        if distance >= target.clearance:
            return place
        if distance > best_distance:
            best, best_distance = place, distance
    return best
