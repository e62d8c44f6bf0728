"""Pairs executed commands with the observations they were computed from, by stamp. Pure; time is passed in."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from apo_core.types import ExecutedCommand, Observation

_OBSERVATIONS = 64
_COMMANDS = 512
_STATUSES = 512


@dataclass(frozen=True, slots=True)
class Pairing:
    """A command and its observation; without an observation the step is lost."""

    command: ExecutedCommand
    observation: Observation | None
    task_remaining: float | None = None  # of task/status at that observation; None: unknown
    task_stages: Mapping[str, bool] | None = None  # the same


@dataclass(frozen=True, slots=True)
class _Status:
    stamp_ns: int
    running: bool
    remaining: float | None = None
    stages: Mapping[str, bool] | None = None


class CommandAlignment:
    """Returns commands in order of arrival, each as soon as its observation is known.

    A command is paired with the observation of its stamp, else with the newest one at most `tolerance_ns` before it. It
    waits until a newer observation arrives or `wait_ns` of steady time has passed. Where the robot publishes
    task/status, a command that answers an observation of a task that was not running was never executed; it is dropped.

    Args:
        tolerance_ns: 0 requires equal stamps.
        wait_ns: longest steady time that a command waits.
        expects_status: task/status is known to exist before its first message.
    """

    def __init__(self, tolerance_ns: int, wait_ns: int, expects_status: bool = False):
        self._tolerance_ns, self._wait_ns = tolerance_ns, wait_ns
        self._expects_status = expects_status
        self._commands: deque[ExecutedCommand] = deque()
        self._observations: deque[Observation] = deque(maxlen=_OBSERVATIONS)
        self._statuses: deque[_Status] = deque(maxlen=_STATUSES)

    @property
    def oldest_receive_ns(self) -> int | None:
        """Steady arrival time of the oldest waiting command; None when none waits."""
        return self._commands[0].receive_ns if self._commands else None

    def restart(self) -> None:
        """Forgets observations, statuses and waiting commands: the clock of their stamps was set."""
        self._commands.clear()
        self._observations.clear()
        self._statuses.clear()

    def add_observation(self, observation: Observation) -> None:
        """Stores an observation; one that is not newer than the last is ignored."""
        if not self._observations or observation.stamp_ns > self._observations[-1].stamp_ns:
            self._observations.append(observation)

    def add_status(
        self,
        stamp_ns: int,
        running: bool,
        remaining: float | None = None,
        stages: Mapping[str, bool] | None = None,
    ) -> None:
        """Stores the task status of an observation: whether commands that answer it run, what is left, its stages."""
        if not self._statuses or stamp_ns > self._statuses[-1].stamp_ns:
            self._statuses.append(_Status(stamp_ns, running, remaining, stages))

    def add_command(self, command: ExecutedCommand) -> None:
        """Stores a command."""
        self._commands.append(command)

    def ready(self, now_ns: int, flush_before_ns: int = 0) -> list[Pairing]:
        """Commands whose pairing is final at `now_ns` (steady).

        Commands that answer an observation older than `flush_before_ns` are returned without waiting.
        """
        pairings = []
        while self._commands:
            command = self._commands[0]
            overdue = (
                now_ns - command.receive_ns >= self._wait_ns
                or command.observation_stamp_ns < max(flush_before_ns, 1)  # 0: no observation was known
                or len(self._commands) > _COMMANDS
            )
            executed = self._was_executed(command.observation_stamp_ns)
            if executed is None and not overdue:
                break
            if executed is not False:
                observation, is_final = self._observation_for(command.observation_stamp_ns)
                if not is_final and not overdue:
                    break
                status = self._status_at(observation)
                pairings.append(Pairing(command, observation, status.remaining, status.stages))
            self._commands.popleft()
        return pairings

    def _was_executed(self, stamp_ns: int) -> bool | None:
        """Whether the task ran at that observation; None: not known yet."""
        if not self._statuses:
            return None if self._expects_status else True
        if self._statuses[-1].stamp_ns < stamp_ns:
            return None
        index = bisect_right(self._statuses, stamp_ns, key=lambda status: status.stamp_ns)
        return self._statuses[index - 1].running if index else True

    def _status_at(self, observation: Observation | None) -> _Status:
        """The task at an observation; nothing is known without a status of the same stamp."""
        unknown = _Status(0, running=True)
        if observation is None:
            return unknown
        index = bisect_right(self._statuses, observation.stamp_ns, key=lambda status: status.stamp_ns)
        status = self._statuses[index - 1] if index else unknown
        return status if status.stamp_ns == observation.stamp_ns else unknown

    def _observation_for(self, stamp_ns: int) -> tuple[Observation | None, bool]:
        """The best observation so far, and whether it is final."""
        index = bisect_right(self._observations, stamp_ns, key=lambda observation: observation.stamp_ns)
        best = self._observations[index - 1] if index else None
        if best is not None and stamp_ns - best.stamp_ns > self._tolerance_ns:
            best = None
        is_exact = best is not None and best.stamp_ns == stamp_ns
        return best, is_exact or index < len(self._observations)
