"""The course of simulated trials: stamps, success, horizon, and which command is executed. Pure; time is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GRIPPER = 6  # index of the gripper in an action; what comes before it is the twist
OPEN = -1.0


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
        """Lockstep: whether a command computed from that observation moves the simulation on."""
        return self.running and observation_stamp_ns == self.stamp_ns

    def belongs(self, observation_stamp_ns: int) -> bool:
        """Real time: whether a command was computed from an observation of the running trial."""
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
    observation_stamp_ns: int  # observation the command was computed from; 0 when no command was usable


class CommandInbox:
    """Keeps the newest command and turns it into something that can be executed.

    Args:
        low, high: (7,) limits of an action; what is beyond is clipped.
        timeout_ns: steady time after which a command is no longer executed; the arm then stands still.
    """

    def __init__(self, low: Sequence[float], high: Sequence[float], timeout_ns: int):
        self._low, self._high = np.asarray(low, np.float32), np.asarray(high, np.float32)
        self._timeout_ns = timeout_ns
        self.clear()

    def clear(self) -> None:
        """Forgets everything; the gripper is open."""
        self._newest: Execution | None = None
        self._received_ns = 0
        self._gripper = np.float32(OPEN)

    def put(self, values: Sequence[float], observation_stamp_ns: int, now_ns: int) -> str:
        """Stores a command; returns "" or why it is refused (the arm then stands still)."""
        action = np.array(values, np.float32)
        self._newest, self._received_ns = None, now_ns
        if action.shape != self._low.shape:
            return f"has {action.size} values, must have {self._low.size}"
        if not np.all(np.isfinite(action)):
            return f"is not finite: {action.tolist()}"
        self._newest = Execution(np.clip(action, self._low, self._high), observation_stamp_ns)
        return ""

    def take(self, now_ns: int) -> Execution:
        """The newest command, or standing still with the gripper as it was when there is none within the timeout."""
        if self._newest is None or now_ns - self._received_ns > self._timeout_ns:
            action = np.zeros(self._low.shape, np.float32)
            action[GRIPPER] = self._gripper
            return Execution(action, 0)
        self._gripper = self._newest.action[GRIPPER]
        return self._newest
