"""The course of simulated trials: stamps, success and horizon. Pure; time is passed in."""

from __future__ import annotations

from dataclasses import dataclass


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
