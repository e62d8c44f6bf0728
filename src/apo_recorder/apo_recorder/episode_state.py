"""When an episode begins and ends, which commands belong to it, and what was lost. Pure; time is passed in."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from apo_core.types import EpisodeInfo, EpisodeOutcome, Outcome, Step
from apo_recorder.alignment import Pairing

_CAUSES = 20  # of an episode by name
_OTHER_CAUSES = "other reasons"
NO_COMMAND = "no command of the arbiter arrived"


class Phase(enum.StrEnum):
    """State of the recorder."""

    IDLE = "IDLE"
    RECORDING = "RECORDING"
    ENDING = "ENDING"  # the end was requested; its last command has not arrived yet


@dataclass(frozen=True, slots=True)
class DropCounts:
    """What an episode misses; camera frames count one for each camera and step."""

    frames_lost: int = 0  # expected and not in the file, for any cause below
    commands_lost: int = 0  # gaps in the arbiter's tick
    steps_unpaired: int = 0  # commands without their observation
    steps_dropped: int = 0  # steps that the writer rejected, or whose command is not finite
    out_of_order: int = 0  # messages older than one that came before


@dataclass(frozen=True, slots=True)
class EpisodeEnd:
    """How to complete an episode."""

    outcome: EpisodeOutcome | None  # None: discard the episode
    reason: str
    until_ns: int  # newest observation stamp to keep; 0 keeps all
    drops: DropCounts
    streams: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # of StreamCounts
    causes: Mapping[str, int] = field(default_factory=dict)  # {why: steps that were lost before the writer}
    note: str = ""  # what else a person must know; empty: nothing


@dataclass(frozen=True, slots=True)
class _EndRequest:
    outcome: EpisodeOutcome | None
    reason: str
    until_ns: int
    requested_ns: int


class EpisodeState:
    """The running episode. IDLE -start-> RECORDING -request_end-> ENDING -poll-> IDLE.

    Args:
        cameras: number of cameras.
        end_wait_ns: longest steady time that the end waits for the command that answers the last observation.
    """

    def __init__(self, cameras: int, end_wait_ns: int):
        self._cameras, self._end_wait_ns = cameras, end_wait_ns
        self.phase = Phase.IDLE
        self.info: EpisodeInfo | None = None
        self._reset()

    def _reset(self) -> None:
        self._drops = DropCounts()
        self._causes: Counter[str] = Counter()
        self._commands = 0
        self._last_tick = self._last_stamp_ns = -1
        self._answered_ns = 0
        self._end: _EndRequest | None = None

    def start(self, info: EpisodeInfo) -> str:
        """Begins an episode; returns "" or the reason why it cannot."""
        if self.phase is not Phase.IDLE and self.info is not None:
            return f"episode {self.info.episode_id} is {self.phase}; end it first"
        self.phase, self.info = Phase.RECORDING, info
        self._reset()
        return ""

    def add(self, pairing: Pairing, now_ns: int, unpaired: str = "") -> Step | None:
        """Adds a command; returns the step to write, or None when it adds none to this episode.

        Args:
            pairing: the command and its observation.
            now_ns: steady time.
            unpaired: why a command without observation has none.
        """
        command, end = pairing.command, self._end
        if self.phase is Phase.IDLE:
            return None
        self._commands += 1
        if end is not None:
            is_late = (
                command.observation_stamp_ns > end.until_ns if end.until_ns else command.receive_ns > end.requested_ns
            )
            if is_late:
                self._answered_ns = max(self._answered_ns, command.observation_stamp_ns)
                return None
        if command.tick <= self._last_tick:
            if command.stamp_ns <= self._last_stamp_ns:
                self._count(out_of_order=1)
            else:
                self.request_end(Outcome.UNLABELED, "arbiter_restarted", now_ns)
            return None
        if self._last_tick >= 0:
            self._count(commands_lost=command.tick - self._last_tick - 1)
        self._last_tick, self._last_stamp_ns = command.tick, command.stamp_ns
        self._answered_ns = max(self._answered_ns, command.observation_stamp_ns)
        if pairing.observation is None:
            self._count(steps_unpaired=1)
            self.count_cause(unpaired)
            return None
        if not command.is_finite:  # readers reject a file with such an action
            self.count_dropped("the executed command is not finite")
            return None
        return Step(
            tick=command.tick,
            observation=pairing.observation,
            executed_action=command.action,
            policy_action=command.policy_action,
            human_action=command.human_action,
            source=command.source,
            reason=command.reason,
            adapter_version=command.adapter_version,
            command_stamp_ns=command.stamp_ns,
            chunk_stamp_ns=command.chunk_stamp_ns,
            receive_ns=command.receive_ns,
            clipped=command.clipped,
            policy_tokens=command.policy_tokens,
            task_remaining=pairing.task_remaining,
            task_stages=pairing.task_stages,
        )

    @property
    def drops(self) -> DropCounts:
        """What the running episode misses so far."""
        return self._drops

    @property
    def causes(self) -> Mapping[str, int]:
        """{why: steps of the running episode that were lost before the writer}."""
        return self._causes

    def count_dropped(self, why: str = "") -> None:
        """A step cannot be written."""
        self._count(steps_dropped=1)
        self.count_cause(why)

    def count_cause(self, why: str) -> None:
        """A step is lost, by what `drops` counts elsewhere; empty: unknown."""
        if why:
            self._causes[why if why in self._causes or len(self._causes) < _CAUSES else _OTHER_CAUSES] += 1

    def count_out_of_order(self, messages: int) -> None:
        """Camera or state messages arrived out of order."""
        self._count(out_of_order=messages)

    def request_end(
        self,
        outcome: Outcome | None,
        reason: str,
        now_ns: int,
        *,
        truncated: bool = False,
        until_ns: int = 0,
    ) -> str:
        """Requests the end; returns "" or the reason why it cannot end.

        Args:
            outcome: None discards the episode.
            reason: why it ends.
            now_ns: steady time; without `until_ns`, commands that arrived later do not belong to the episode.
            truncated: cut by a limit instead of ended by the task or the operator.
            until_ns: newest observation stamp that belongs to the episode.
        """
        if self.phase is not Phase.RECORDING:
            return "no episode is being recorded" if self.phase is Phase.IDLE else "the episode is ending already"
        terminated = not truncated and outcome in (Outcome.SUCCESS, Outcome.FAILURE)
        end = None if outcome is None else EpisodeOutcome(outcome, reason, terminated, truncated)
        self._end = _EndRequest(end, reason, until_ns, now_ns)
        self.phase = Phase.ENDING
        return ""

    def poll(self, now_ns: int, oldest_waiting_ns: int | None, force: bool = False) -> EpisodeEnd | None:
        """How to complete the episode once its last command was added, or the wait for it is over; else None.

        Args:
            now_ns: steady time.
            oldest_waiting_ns: steady arrival of the oldest command that is not paired yet; None when none waits.
            force: wait no longer.
        """
        end = self._end
        if self.phase is not Phase.ENDING or end is None:
            return None
        if end.until_ns:
            complete = self._answered_ns >= end.until_ns
        else:
            complete = oldest_waiting_ns is None or oldest_waiting_ns > end.requested_ns
        if not (complete or force or now_ns - end.requested_ns >= self._end_wait_ns):
            return None
        if not complete and end.until_ns:
            self._count(commands_lost=1)
        self.phase = Phase.IDLE
        note = "" if self._commands or self._causes else NO_COMMAND
        return EpisodeEnd(end.outcome, end.reason, end.until_ns, self._drops, causes=dict(self._causes), note=note)

    def abort(self) -> None:
        """The episode cannot be written."""
        self.phase = Phase.IDLE

    def _count(self, **increments: int) -> None:
        drops = self._drops
        values = {name: getattr(drops, name) + value for name, value in increments.items()}
        steps = sum(value for name, value in increments.items() if name != "out_of_order")
        self._drops = replace(drops, **values, frames_lost=drops.frames_lost + steps * self._cameras)
