"""The course of simulated trials: stamps, success, horizon, and which command is executed. Pure; time is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apo_core.actions import GRIPPER, OPEN, TWIST, GripperScale

ROUNDING = 1e-3  # share of a limit's span that a value may lie outside


@dataclass(frozen=True, slots=True)
class TrialRules:
    """When a trial ends, and how its stamps run."""

    period_ns: int  # simulated time of a control step
    horizon: int  # steps after which a trial without success is truncated
    success_hold_steps: int  # consecutive frames that must show success
    reset_gap_ns: int = 1_000_000_000  # lockstep: simulated time of a reset; longer than any tolerance or age limit


class Trial:
    """State of the trials of one bridge; its stamps strictly increase.

    Attributes are those of apo_interfaces/TaskStatus; stamps in nanoseconds of simulated time, 0 for none.

    Args:
        rules: when a trial ends.
        start_ns: simulated time before the first tick.
    """

    def __init__(self, rules: TrialRules, start_ns: int):
        self._rules = rules
        self._held = 0
        self._first_stamp_ns = 0
        self.stamp_ns = start_ns
        self.last_observation_stamp_ns = 0
        self.seed = 0
        self.number = 0
        self.step = 0
        self.success = False
        self.truncated = False
        self.running = False

    def reset(self, seed: int, wall_ns: int | None = None) -> None:
        """Starts a trial.

        Args:
            seed: of the trial.
            wall_ns: real time: wall time, which the stamps then follow, so that a bridge that is started again later
                does not go back; None in lockstep: the stamps leave a gap.
        """
        if wall_ns is None:
            self.stamp_ns += self._rules.reset_gap_ns
        else:
            self.stamp_ns = max(self.stamp_ns + self._rules.period_ns, wall_ns)
        self._first_stamp_ns = self.stamp_ns
        self.last_observation_stamp_ns = 0
        self.seed = seed
        self.number += 1
        self.step = self._held = 0
        self.success = self.truncated = False
        self.running = True

    def answers_this_tick(self, observation_stamp_ns: int) -> bool:
        """Lockstep: whether a command with that stamp moves the simulation on."""
        return self.running and observation_stamp_ns == self.stamp_ns

    def belongs(self, observation_stamp_ns: int) -> bool:
        """Real time: whether a command with that stamp answers an observation of the running trial."""
        return self.running and self._first_stamp_ns <= observation_stamp_ns <= self.stamp_ns

    def advance(self, shows_success: bool, observation_stamp_ns: int = 0) -> None:
        """A control step was executed.

        Args:
            shows_success: what the new frame shows.
            observation_stamp_ns: observation answered by the executed command; 0 when there was no command.
        """
        self.stamp_ns += self._rules.period_ns
        self.step += 1
        if observation_stamp_ns:
            self.last_observation_stamp_ns = observation_stamp_ns
        self._held = self._held + 1 if shows_success else 0
        self.success = self._held >= self._rules.success_hold_steps
        self.truncated = not self.success and self.step >= self._rules.horizon
        self.running = not (self.success or self.truncated)

    def idle(self) -> None:
        """Simulated time went by without a step."""
        self.stamp_ns += self._rules.period_ns


@dataclass(frozen=True, slots=True)
class Execution:
    """What to execute in a step."""

    action: np.ndarray  # float32 (7,), contract units
    observation_stamp_ns: int  # observation the twist answers; 0 when no twist was usable


class CommandInbox:
    """Keeps the newest twist and gripper position and turns them into something that can be executed.

    What is not usable is refused: the arm then stands still, the gripper stays as it was.

    Args:
        low, high: (7,) limits of an action.
        frame_id: of a twist.
        gripper: positions of the gripper.
        timeout_ns: time after which a twist is no longer executed.
    """

    def __init__(
        self, low: Sequence[float], high: Sequence[float], frame_id: str, gripper: GripperScale, timeout_ns: int
    ):
        self._low, self._high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        self._frame_id, self._scale, self._timeout_ns = frame_id, gripper, timeout_ns
        self.clear()

    def clear(self) -> None:
        """Forgets everything; the gripper is open."""
        self._twist: np.ndarray | None = None
        self._received_ns = 0
        self._gripper = np.float32(OPEN)
        self._stamps: tuple[int, int] = (0, 0)  # of the newest twist and gripper position, refused or not

    def put_twist(self, twist: Sequence[float], frame_id: str, stamp_ns: int, now_ns: int) -> str:
        """Stores a twist (6,) [m/s, rad/s]; returns "" or why it is refused."""
        values = np.asarray(twist, np.float64)
        self._twist, self._received_ns = None, now_ns
        self._stamps = stamp_ns, self._stamps[1]
        if frame_id != self._frame_id:
            return f"has the frame {frame_id!r}, must have {self._frame_id!r}"
        fault = self._range_fault(values, TWIST)
        if not fault:
            self._twist = np.clip(values, self._low[TWIST], self._high[TWIST]).astype(np.float32)
        return fault

    def put_gripper(self, position: float, stamp_ns: int) -> str:
        """Stores a position of the gripper [m]; returns "" or why it is refused."""
        self._stamps = self._stamps[0], stamp_ns
        value = np.array([self._scale.value(position)])
        fault = self._range_fault(value, slice(GRIPPER, GRIPPER + 1))
        if fault:
            return f"position = {position} m: {fault} as a value of the action"
        self._gripper = np.float32(np.clip(value[0], self._low[GRIPPER], self._high[GRIPPER]))
        return ""

    def answers(self, stamp_ns: int) -> bool:
        """Whether both have come with this stamp, refused or not."""
        return self._stamps == (stamp_ns, stamp_ns)

    def take(self, now_ns: int) -> Execution:
        """The newest command; standing still when there is no twist within the timeout."""
        usable = self._twist is not None and now_ns - self._received_ns <= self._timeout_ns
        twist = self._twist if usable else np.zeros(TWIST.stop, np.float32)
        return Execution(np.append(twist, self._gripper), self._stamps[0] if usable else 0)

    def _range_fault(self, values: np.ndarray, part: slice) -> str:
        low, high = self._low[part], self._high[part]
        if values.shape != low.shape or not np.all(np.isfinite(values)):
            return f"is not {low.size} finite numbers: {values.tolist()}"
        slack = ROUNDING * (high - low)
        if np.any(values < low - slack) or np.any(values > high + slack):
            return f"{values.tolist()} is outside {low.tolist()} .. {high.tolist()} (action in config/contract.yaml)"
        return ""
