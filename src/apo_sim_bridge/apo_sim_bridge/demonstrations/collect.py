"""Scripted demonstrations, with bursts of noise in what is executed so that the data shows recoveries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from apo_core.actions import GRIPPER, OPEN, TWIST
from apo_core.errors import ConfigError
from apo_core.tasks.scene import ExpertInput
from apo_core.tasks.specs import task_spec
from apo_sim_bridge.sim.env import ACTION_SCALE, SimConfig, SimFrame
from apo_sim_bridge.sim.ground_truth import expert_input

_NOISE_STREAM = 1  # keeps the noise apart from what the simulation draws from the same seed


class Environment(Protocol):
    """What `collect` needs of a SimEnv."""

    config: SimConfig

    def reset(self, seed: int) -> SimFrame: ...

    def step(self, action: np.ndarray) -> SimFrame: ...


class Driver(Protocol):
    """What `collect` needs of an Expert."""

    def reset(self) -> None: ...

    def act(self, state: ExpertInput) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class NoiseBursts:
    """Pushes of random direction added to the executed action. Raises ConfigError with every fault found."""

    probability: float = 0.06  # per step without a burst that one starts, 0 .. 1
    min_steps: int = 3  # shortest burst
    max_steps: int = 8  # longest burst
    linear_speed: float = 0.5  # m/s, standard deviation per axis
    angular_speed: float = 1.5  # rad/s, standard deviation per axis
    release_probability: float = 0.15  # per burst that the gripper opens meanwhile, 0 .. 1

    def __post_init__(self) -> None:
        faults = []
        for name, high in (
            ("probability", 1.0),
            ("release_probability", 1.0),
            ("linear_speed", float(ACTION_SCALE[0])),
            ("angular_speed", float(ACTION_SCALE[3])),
        ):
            value = getattr(self, name)
            if not math.isfinite(value) or not 0.0 <= value <= high:
                faults.append(f"{name} = {value} must be in [0, {high}]")
        if not 1 <= self.min_steps <= self.max_steps:
            faults.append(f"min_steps = {self.min_steps}, max_steps = {self.max_steps}: must be 1 <= min <= max")
        if faults:
            raise ConfigError("NoiseBursts", faults)


def scaled_noise(noise: NoiseBursts, task: str) -> NoiseBursts:
    """The noise that a task's expert recovers from. Raises ValueError for an unknown task."""
    spec = task_spec(task)
    return replace(
        noise,
        linear_speed=noise.linear_speed * spec.noise_scale,
        angular_speed=noise.angular_speed * spec.noise_scale,
        release_probability=noise.release_probability if spec.noise_releases else 0.0,
    )


@dataclass(frozen=True, slots=True)
class DemonstrationStep:
    """One control step."""

    frame: SimFrame  # what the expert saw
    expert_action: np.ndarray  # float32 (7,): what it chose, the label
    executed_action: np.ndarray  # float32 (7,): what was done, noise included
    next_frame: SimFrame  # result


def collect(
    env: Environment,
    expert: Driver,
    seed: int,
    noise: NoiseBursts | None = None,
    max_steps: int | None = None,
    extra_steps: int = 0,
) -> Iterator[DemonstrationStep]:
    """Runs one episode and yields its steps; it ends on success or after `max_steps`.

    The episode succeeded if the last step's `next_frame.success`. The same arguments give the same steps.

    Args:
        seed: of the environment's reset and of the noise.
        noise: None executes the expert's own actions.
        max_steps: the environment's horizon if None.
        extra_steps: more steps after the first success, within `max_steps`, so that the data shows holding still.
    """
    disturb = disturbed_actions(noise, seed) if noise else None
    expert.reset()
    frame = env.reset(seed)
    for _ in range(env.config.horizon if max_steps is None else max_steps):
        wanted = expert.act(expert_input(frame))
        executed = wanted if disturb is None else disturb(wanted)
        after = env.step(executed)
        yield DemonstrationStep(frame, wanted, executed, after)
        frame = after
        if frame.success:
            if extra_steps <= 0:
                return
            extra_steps -= 1


def disturbed_actions(noise: NoiseBursts, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Takes the action of each step (7,) and returns what is executed of it, within full scale."""
    bursts = _bursts(noise, np.random.default_rng([seed, _NOISE_STREAM]))
    return lambda action: _disturbed(action, *next(bursts))


def _bursts(noise: NoiseBursts, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, bool]]:
    """Per step: the push (6,) [m/s, rad/s], zero between bursts, and whether the gripper opens."""
    spread = np.repeat([noise.linear_speed, noise.angular_speed], 3)
    while True:
        if rng.random() >= noise.probability:
            yield np.zeros(6), False
            continue
        push = rng.normal(0.0, spread)
        release = bool(rng.random() < noise.release_probability)
        for _ in range(rng.integers(noise.min_steps, noise.max_steps + 1)):
            yield push, release


def _disturbed(action: np.ndarray, push: np.ndarray, release: bool) -> np.ndarray:
    """The action with the push added, within full scale."""
    executed = action.astype(np.float64)
    executed[TWIST] = np.clip(executed[TWIST] + push, -ACTION_SCALE[TWIST], ACTION_SCALE[TWIST])
    if release:
        executed[GRIPPER] = OPEN
    return executed.astype(np.float32)
