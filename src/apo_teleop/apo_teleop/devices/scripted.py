"""A simulated operator for simulation and CI: watches the task, takes over where a person would, drives, hands back.

Pure and repeatable: the noise of a trial depends on the configured seed and on the trial's.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apo_core.config import parameter
from apo_core.errors import ObservationError
from apo_core.experts import ExpertInput, Phase, Scene, make_expert, progress
from apo_core.grasp_tasks import TASKS
from apo_teleop.devices.device import DeviceSample
from apo_teleop.mapping import OperatorSample

# order of the poses on ground_truth/objects
OBJECT_NAMES = {"Lift": ("cube",), "Stack": ("cubeA", "cubeB"), "NutAssemblySquare": ("SquareNut", "peg1")}
_NEW_TRIAL_PERIODS = 1.5
_AT_GOAL_M = 0.015  # path left that nobody takes over for


@dataclass(frozen=True, slots=True)
class ScriptedConfig:
    """How the simulated operator behaves. Steps are control ticks."""

    task: str = parameter("Lift", "task the operator knows", choices=tuple(TASKS))
    stall_m: float = parameter(0.004, "m of path that counts as progress", low=0.0, high=1.0)
    stall_steps: int = parameter(16, "steps without progress after which the policy has stalled", low=1, high=100_000)
    stray_m: float = parameter(0.06, "m beyond the shortest path left so far at which it strays", low=0.0, high=10.0)
    stray_steps: int = parameter(3, "steps that it must stray for", low=1, high=100_000)
    takeover_step: int = parameter(
        60, "step of a trial at which an empty hand is helped; 0: never", low=0, high=100_000
    )
    reaction_steps: int = parameter(4, "steps between seeing the need and moving", low=0, high=1000)
    min_drive_steps: int = parameter(10, "steps at least before handing back", low=1, high=100_000)
    lift_steps: int = parameter(2, "steps of carrying before handing back a grasped object", low=1, high=1000)
    resolved_m: float = parameter(0.05, "m of progress before handing back one that was held", low=0.0, high=10.0)
    max_hand_backs: int = parameter(1, "per trial; after them the operator finishes the task", low=0, high=100_000)
    noise_linear: float = parameter(0.03, "m/s, standard deviation of the hand's tremor per axis", low=0.0, high=1.0)
    noise_angular: float = parameter(0.1, "rad/s, the same of its rotation", low=0.0, high=10.0)
    operator_seed: int = parameter(0, "seed of the tremor", low=0, high=2**53)


@dataclass(frozen=True, slots=True)
class ScriptedInput:
    """One tick as the operator sees it."""

    stamp_ns: int
    state: ExpertInput
    trial: int  # number of the trial
    seed: int  # of the trial
    step: int  # steps executed in the trial
    running: bool  # false: the trial is over


def see_objects(task: str, poses: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Pose (7,) of each object of a task.

    Args:
        task: one of OBJECT_NAMES.
        poses: of ground_truth/objects, each (7,): m, quaternion x y z w.

    Raises:
        ObservationError: there is another number of them.
    """
    names = OBJECT_NAMES[task]
    if len(poses) != len(names):
        raise ObservationError(f"ground_truth/objects has {len(poses)} poses, task {task} has {names}")
    return dict(zip(names, poses, strict=True))


class _Mode(enum.Enum):
    WATCHING = enum.auto()
    REACTING = enum.auto()
    DRIVING = enum.auto()


class ScriptedOperator:
    """Answers every tick with a sample; the operator is connected always.

    Args:
        config: behaviour.
        period_ns: of the control ticks.
    """

    def __init__(self, config: ScriptedConfig, period_ns: int):
        self._config, self._period_ns = config, period_ns
        self._expert = make_expert(config.task)
        self._last: ScriptedInput | None = None
        self._rng = np.random.default_rng(config.operator_seed)
        self._mode = _Mode.WATCHING
        self._helped_late, self._hand_backs = False, 0
        self._watch_from(np.inf)

    def step(self, tick: ScriptedInput) -> OperatorSample:
        """What the operator does in this tick.

        Raises:
            KeyError: an object of the task is missing.
        """
        events = ()
        if self._is_new_trial(tick):
            events = ("hand_back",) if self._mode is _Mode.DRIVING else ()
            self._rng = np.random.default_rng([self._config.operator_seed, max(tick.seed, 0), 2])
            self._mode, self._helped_late, self._hand_backs = _Mode.WATCHING, False, 0
            self._watch_from(np.inf)
        self._last = tick
        if not tick.running:
            events = ("hand_back",) if self._mode is _Mode.DRIVING else events
            self._mode = _Mode.WATCHING
            self._watch_from(np.inf)
            return resting(events)
        left = progress(self._config.task, tick.state)
        if self._mode is _Mode.WATCHING and self._sees_need(tick, left):
            self._mode, self._steps = _Mode.REACTING, 0
        if self._mode is _Mode.REACTING:
            if self._steps >= self._config.reaction_steps:
                self._take_over(tick, left)
            else:
                self._steps += 1
        if self._mode is not _Mode.DRIVING:
            return resting(events)
        action = self._expert.act(tick.state)
        self._carried = self._carried + 1 if self._expert.phase is Phase.CARRY else 0
        if self._is_resolved(left):
            self._mode = _Mode.WATCHING
            self._hand_backs += 1
            self._watch_from(left)
            return resting(("hand_back",))
        self._steps += 1
        action[:3] += self._rng.normal(0.0, self._config.noise_linear, 3).astype(np.float32)
        action[3:6] += self._rng.normal(0.0, self._config.noise_angular, 3).astype(np.float32)
        return OperatorSample(True, True, action, events)

    def _is_new_trial(self, tick: ScriptedInput) -> bool:
        if self._last is None:
            return True
        gap_ns = tick.stamp_ns - self._last.stamp_ns
        return gap_ns < 0 or gap_ns > _NEW_TRIAL_PERIODS * self._period_ns or tick.trial != self._last.trial

    def _watch_from(self, left: float) -> None:
        self._best, self._since_best, self._strayed = left, 0, 0

    def _sees_need(self, tick: ScriptedInput, left: float) -> bool:
        if left < self._best - self._config.stall_m:
            self._best, self._since_best = left, 0
        else:
            self._since_best += 1
        self._strayed = self._strayed + 1 if left > self._best + self._config.stray_m else 0
        if left <= _AT_GOAL_M:
            return False
        if self._since_best >= self._config.stall_steps or self._strayed >= self._config.stray_steps:
            return True
        late = 0 < self._config.takeover_step <= tick.step and not self._helped_late
        return late and not self._holds(tick.state)

    def _take_over(self, tick: ScriptedInput, left: float) -> None:
        self._mode, self._steps, self._carried = _Mode.DRIVING, 0, 0
        self._helped_late = tick.step >= self._config.takeover_step
        self._held_before, self._left_before = self._holds(tick.state), left
        self._expert.reset()

    def _is_resolved(self, left: float) -> bool:
        if self._steps < self._config.min_drive_steps:
            return False
        if self._expert.phase is Phase.RETREAT:
            return True
        if self._hand_backs >= self._config.max_hand_backs:
            return False
        if self._held_before:
            return left <= max(self._left_before - self._config.resolved_m, _AT_GOAL_M)
        return self._carried >= self._config.lift_steps

    def _holds(self, state: ExpertInput) -> bool:
        return Scene(TASKS[self._config.task], state).held


def resting(events: tuple[str, ...] = ()) -> OperatorSample:
    """The sample of an operator who watches."""
    return OperatorSample(True, False, np.zeros(7, np.float32), events)


class ScriptedDevice:
    """The scripted operator as a device that answers the ticks it is shown.

    Args:
        config, period_ns: see ScriptedOperator.
    """

    name, problem = "scripted", ""

    def __init__(self, config: ScriptedConfig, period_ns: int):
        self.enabled = True
        self._operator = ScriptedOperator(config, period_ns)
        self._tick: ScriptedInput | None = None

    @property
    def summary(self) -> dict[str, str]:
        """Key and value for /diagnostics."""
        return {"device": self.name, "connected": "true", "problem": "", "enabled": str(self.enabled).lower()}

    def see(self, tick: ScriptedInput) -> None:
        """Shows a tick; the next poll answers it."""
        self._tick = tick

    def poll(self, now_ns: int) -> DeviceSample | None:
        """See Device; the stamp is that of the tick."""
        tick, self._tick = self._tick, None
        if tick is None:
            return None
        # not stepped while disabled: the gap makes it start anew afterwards
        sample = self._operator.step(tick) if self.enabled else resting()
        values = sample.values if sample.active else None
        return DeviceSample(tick.stamp_ns, True, np.zeros(6), sample.events, values=values)

    def close(self) -> None:
        """See Device."""
