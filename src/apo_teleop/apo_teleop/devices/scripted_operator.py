"""A simulated operator for simulation and CI: watches the task, takes over where a person would, drives, hands back.

It sees a policy that stalls, one that strays, drops or undoes what was done, and one that closes its fingers beside
the object. It moves a reaction time later. Each takeover draws that time from a log-normal distribution:

- Median: an alert driver who expects the signal brakes after 0.70 to 0.75 s, the foot's way to the pedal included
  (Green 2000, "How Long Does It Take to Stop?", Transportation Human Factors 2(3), 195-216). A hand that lies on its
  device saves that way; taken as 0.2 to 0.3 s (an estimate), it leaves 0.40 to 0.55 s.
- Spread: surprised drivers have a median of 0.9 s, and a quarter needs more than 1.2 s (Johansson and Rumar 1965,
  "Drivers' brake-reaction times"). In a log-normal distribution that is ln(1.2 / 0.9) / 0.674 = 0.43 between persons;
  the same person varies less from one time to the next.

Pure and repeatable: the tremor and the reaction times of a trial depend on the configured seed and on the trial's.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apo_core.actions import ANGULAR, LINEAR, SIZE
from apo_core.config.parameters import parameter
from apo_core.errors import ObservationError
from apo_core.tasks.course import current_part, progress, scene_of
from apo_core.tasks.expert import Phase, make_expert
from apo_core.tasks.scene import ExpertInput, Scene
from apo_core.tasks.specs import DEFAULT_TASK, task_names, task_spec
from apo_core.types import OperatorEvent
from apo_teleop.devices.mapping import OperatorSample

_NEW_TRIAL_PERIODS = 1.5
_AT_GOAL_M = 0.015  # path left that nobody takes over for
_STILL_M = 5e-4  # change of the fingers' width, or of the object's place, in a step that is no motion
_FAR_M = 0.1  # between hand and object; beyond it the object moves by itself
_TREMOR, _REACTION = 2, 3  # keep the draws apart from each other and from what else the trial's seed decides


@dataclass(frozen=True, slots=True)
class ScriptedConfig:
    """How the simulated operator behaves. Steps are control ticks."""

    task: str = parameter(DEFAULT_TASK.name, "task that the operator can finish", choices=task_names())
    stall_m: float = parameter(0.004, "m of path that counts as progress", low=0.0, high=1.0)
    stall_steps: int = parameter(16, "steps without progress after which the policy has stalled", low=1, high=100_000)
    # ten recorded trials that a policy finished alone lost up to 48 mm of path, but 40 mm for two steps at most
    stray_m: float = parameter(0.04, "m beyond the shortest path left so far at which it strays", low=0.0, high=10.0)
    stray_steps: int = parameter(3, "steps that it must stray for", low=1, high=100_000)
    misgrasp_steps: int = parameter(
        3, "steps that fingers stay closed without the object, away from a grasp; 0: not watched", low=0, high=100_000
    )
    takeover_step: int = parameter(
        60,
        "steps, times the task's patience, after which a hand that has not grasped the next object is helped; 0: never",
        low=0,
        high=100_000,
    )
    reaction_s: float = parameter(
        0.45, "median s between seeing the need and moving; log-normal, drawn for each takeover", low=0.0, high=60.0
    )
    reaction_spread: float = parameter(
        0.3, "standard deviation of its logarithm; 0: always the median", low=0.0, high=2.0
    )
    min_drive_steps: int = parameter(10, "steps at least before handing back", low=1, high=100_000)
    lift_steps: int = parameter(2, "steps of carrying before handing back a grasped object", low=1, high=1000)
    resolved_m: float = parameter(0.05, "m of progress before handing back one that was held", low=0.0, high=10.0)
    max_hand_backs: int = parameter(1, "per part of the task; after them the operator finishes it", low=0, high=100_000)
    clear_s: float = parameter(
        1.0, "s after which a fault that latched is cleared, never an emergency stop; 0: it is not", low=0.0, high=600.0
    )
    noise_linear: float = parameter(0.03, "m/s, standard deviation of the hand's tremor per axis", low=0.0, high=1.0)
    noise_angular: float = parameter(0.1, "rad/s, the same of its rotation", low=0.0, high=10.0)
    operator_seed: int = parameter(0, "seed of the tremor and of the reaction times", low=0, high=2**53)


@dataclass(frozen=True, slots=True)
class ScriptedInput:
    """One tick as the operator sees it."""

    stamp_ns: int
    state: ExpertInput
    trial: int  # number of the trial
    seed: int  # of the trial
    step: int  # steps executed in the trial
    running: bool  # false: the trial is over
    latched: bool = False  # the arbiter holds until a person clears a fault


def see_objects(task: str, poses: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Pose (7,) of each object of a task.

    Args:
        task: name in tasks.specs.
        poses: of ground_truth/objects, each (7,): m, quaternion x y z w.

    Raises:
        ObservationError: there is another number of them.
    """
    names = task_spec(task).objects
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
        self.enabled = True  # false: rests; the gap in time makes the operator start anew afterwards
        self._config, self._period_ns = config, period_ns
        spec = task_spec(config.task)
        self._parts, self._late_steps = spec.parts, round(config.takeover_step * spec.patience)
        self._expert = make_expert(config.task)
        self._last: ScriptedInput | None = None
        self._rng = np.random.default_rng(config.operator_seed)
        self._mode = _Mode.WATCHING
        self._needs = 0
        self._begin_part(0, 0)
        self._steps = self._carried = self._latched_steps = 0
        self._width: float | None = None  # of the fingers in the last tick, m
        self._object: np.ndarray | None = None  # its grasp point in the last tick
        self._watch_from(np.inf)

    @property
    def summary(self) -> dict[str, str]:
        """Key and value for /diagnostics."""
        return {"device": "scripted", "connected": "true", "problem": "", "enabled": str(self.enabled).lower()}

    def step(self, tick: ScriptedInput) -> OperatorSample:
        """What the operator does in this tick.

        Raises:
            KeyError: an object of the task is missing.
        """
        if not self.enabled:
            return resting()
        events: tuple[OperatorEvent, ...] = ()
        is_new, self._last = self._is_new_trial(tick), tick
        if is_new:
            events = (OperatorEvent.HAND_BACK,) if self._mode is _Mode.DRIVING else ()
            self._rng = self._draws(tick, _TREMOR)
            self._mode, self._needs = _Mode.WATCHING, 0
            self._begin_part(0, 0)
            self._watch_from(np.inf)
        if tick.latched:
            self._mode = _Mode.WATCHING
            self._watch_from(np.inf)
            return resting((*events, OperatorEvent.CLEAR) if self._clears() else events)
        self._latched_steps = 0
        if not tick.running:
            events = (OperatorEvent.HAND_BACK,) if self._mode is _Mode.DRIVING else events
            self._mode = _Mode.WATCHING
            self._watch_from(np.inf)
            return resting(events)
        self._follow_part(tick)
        left = progress(self._config.task, tick.state)
        if self._mode is _Mode.WATCHING and self._sees_need(tick, left):
            self._mode, self._steps, self._reaction_steps = _Mode.REACTING, 0, self._draw_reaction(tick)
        if self._mode is _Mode.REACTING:
            if self._steps >= self._reaction_steps:
                self._take_over(tick, left)
            else:
                self._steps += 1
        if self._mode is not _Mode.DRIVING:
            return resting(events)
        action = self._expert.act(tick.state)
        self._carried = self._carried + 1 if self._expert.phase in (Phase.CARRY, Phase.PUSH) else 0
        if self._is_resolved(left):
            self._mode = _Mode.WATCHING
            self._hand_backs += 1
            self._watch_from(left)
            return resting((OperatorEvent.HAND_BACK,))
        self._steps += 1
        action[LINEAR] += self._rng.normal(0.0, self._config.noise_linear, 3).astype(np.float32)
        action[ANGULAR] += self._rng.normal(0.0, self._config.noise_angular, 3).astype(np.float32)
        return OperatorSample(True, True, action, events)

    def _clears(self) -> bool:
        """Whether the operator, who has let go of the device, clears now; again and again while it stays latched."""
        self._latched_steps += 1
        clears = 0 < self._config.clear_s * 1e9 <= self._latched_steps * self._period_ns
        if clears:
            self._latched_steps = 0
        return clears

    def _is_new_trial(self, tick: ScriptedInput) -> bool:
        if self._last is None:
            return True
        gap_ns = tick.stamp_ns - self._last.stamp_ns
        return gap_ns < 0 or gap_ns > _NEW_TRIAL_PERIODS * self._period_ns or tick.trial != self._last.trial

    def _begin_part(self, part: int, step: int) -> None:
        """A part of the task begins that the trial has not come to before."""
        self._part = self._furthest_part = part
        self._part_step, self._helped_late, self._hand_backs = step, False, 0

    def _follow_part(self, tick: ScriptedInput) -> None:
        part = current_part(self._parts, tick.state)
        if part == self._part:
            return
        self._object, self._untouched = None, part > self._part  # one that comes undone does not by itself
        self._part = part
        if part > self._furthest_part:
            self._begin_part(part, tick.step)

    def _watch_from(self, left: float) -> None:
        self._best, self._since_best, self._strayed = left, 0, 0
        self._width, self._is_shut, self._misgrasped = None, False, 0
        self._object, self._untouched = None, True

    def _draws(self, tick: ScriptedInput, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self._config.operator_seed, max(tick.seed, 0), *stream])

    def _draw_reaction(self, tick: ScriptedInput) -> int:
        """Steps until the operator moves; the number of the takeover in the trial chooses the draw."""
        draw = self._draws(tick, _REACTION, self._needs).standard_normal()
        self._needs += 1
        reaction_s = self._config.reaction_s * np.exp(self._config.reaction_spread * draw)
        return round(reaction_s * 1e9 / self._period_ns)

    def _sees_need(self, tick: ScriptedInput, left: float) -> bool:
        scene = scene_of(self._parts[self._part], tick.state)
        settles = False
        if isinstance(scene, Scene):
            self._watch_fingers(scene)
            settles = self._settles(scene)
        else:
            self._width, self._is_shut, self._misgrasped = None, False, 0  # closed fingers push
        if settles or left < self._best - self._config.stall_m:
            self._best, self._since_best = left, 0
        else:
            self._since_best += 1
        self._strayed = self._strayed + 1 if left > self._best + self._config.stray_m else 0
        if left <= _AT_GOAL_M:
            return False
        if self._since_best >= self._config.stall_steps or self._strayed >= self._config.stray_steps:
            return True
        if 0 < self._config.misgrasp_steps <= self._misgrasped:
            return True
        late = 0 < self._late_steps <= tick.step - self._part_step and not self._helped_late
        return late and isinstance(scene, Scene) and not scene.held

    def _settles(self, scene: Scene) -> bool:
        """Whether the object moves though the hand has been far from it, as one that falls when a trial starts."""
        before, here = self._object, scene.grasp_point
        self._object = here
        self._untouched = self._untouched and bool(np.linalg.norm(scene.to_grasp) > _FAR_M)
        return self._untouched and before is not None and bool(np.linalg.norm(here - before) > _STILL_M)

    def _watch_fingers(self, scene: Scene) -> None:
        """Counts the steps of a grasp that fails: closing or closed fingers that neither hold nor are about to."""
        width, before = scene.state.gripper_width, self._width
        self._width = width
        change = 0.0 if before is None else width - before
        closing, opening = change < -_STILL_M, change > _STILL_M
        # fingers that a trial starts with half closed have grasped at nothing yet
        grasps = scene.held or closing or (self._is_shut and not opening)
        self._is_shut = width < scene.task.open_width and grasps
        # fingers that still close around the object may yet turn it into place
        about_to = width > scene.task.width and (scene.at_grasp or (closing and scene.near))
        self._misgrasped = self._misgrasped + 1 if self._is_shut and not scene.held and not about_to else 0

    def _take_over(self, tick: ScriptedInput, left: float) -> None:
        self._mode, self._steps, self._carried = _Mode.DRIVING, 0, 0
        self._helped_late = tick.step - self._part_step >= self._late_steps
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
        return scene_of(self._parts[self._part], state).held


def resting(events: tuple[OperatorEvent, ...] = ()) -> OperatorSample:
    """The sample of an operator who watches."""
    return OperatorSample(True, False, np.zeros(SIZE, np.float32), events)
