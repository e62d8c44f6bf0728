"""The recorder without ROS: samples, commands and requests in, episodes out to a writer. Pure; time is passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

import numpy as np

from apo_core.content_watch import ContentWatch
from apo_core.contract.contract import Contract
from apo_core.observation_sync import ObservationSync
from apo_core.types import (
    PERTURBATION,
    ROBOT,
    SITE,
    EpisodeInfo,
    EpisodeKind,
    ExecutedCommand,
    OperatorEvent,
    Outcome,
    Step,
    TaskProgress,
)
from apo_recorder.alignment import CommandAlignment, Pairing
from apo_recorder.clock_steps import SET_BACK, ClockSteps
from apo_recorder.config import RecorderConfig
from apo_recorder.episode_state import DropCounts, EpisodeEnd, EpisodeState, Phase
from apo_recorder.requests import AutoEpisodes, AutoStart, episode_id, parse_tags
from apo_recorder.stream_counts import StreamCounts

_END_OF_TIME_NS = 2**63
_SILENT_NS = 3_000_000_000  # without a command while an episode is recorded
_OUTCOMES = {  # events that end an episode; None: it is discarded
    OperatorEvent.SUCCESS: Outcome.SUCCESS,
    OperatorEvent.FAILURE: Outcome.FAILURE,
    OperatorEvent.DISCARD: None,
}


class Writer(Protocol):
    """What a recording needs of a writer (EpisodeWriterThread); every call returns at once."""

    def begin(self, info: EpisodeInfo) -> None: ...

    def append(self, step: Step) -> bool: ...

    def end(self, end: EpisodeEnd) -> None: ...

    def undo(self) -> None: ...


class Recording:
    """Receives the streams and records an episode on request. Times are of the steady clock.

    Args:
        config: how to pair, how long to wait.
        contract: the streams.
        writer: takes the episodes.
        ended: receives id and reason of each episode at its end, before its file is closed.
    """

    def __init__(
        self,
        config: RecorderConfig,
        contract: Contract,
        writer: Writer,
        ended: Callable[[str, str], None] = lambda *_: None,
    ):
        self._config, self._contract, self._writer, self._ended = config, contract, writer, ended
        tolerance_ns = 0 if config.lockstep else round(config.pairing_tolerance_s * 1e9)
        self._sync = ObservationSync(contract)
        self.rejection = ""  # why no episode may begin; empty: it may
        self._content = ContentWatch(contract, config.frozen_m)
        self._clock = ClockSteps()
        # stamp of the newest command; the arbiter's clock may step where the observations' does not
        self._command_ns = -1
        self._out_of_order = 0
        self._alignment = CommandAlignment(tolerance_ns, round(config.observation_wait_s * 1e9), config.auto)
        self._state = EpisodeState(len(contract.images), round(config.end_wait_s * 1e9))
        self._auto = AutoEpisodes()
        self._perturbation = ""  # of the newest task status
        self._unfit: dict[str, str] = {}  # stream -> why its newest message does not fit the contract
        self._unpaired = (
            "no observation of the command's stamp"
            if config.lockstep
            else f"no observation of at most pairing_tolerance_s = {config.pairing_tolerance_s:g} before the command's "
            "(config/recorder.yaml)"
        )
        self._commanded_ns: int | None = None  # newest command, or the begin of the episode; None: not known yet
        rates = [(spec.name, spec.rate_hz) for spec in contract.images]
        rates += [(spec.name, spec.rate_hz) for spec in contract.state]
        self._counts = StreamCounts(dict(rates))
        # control steps of the seconds before a start, at most as many as the writer accepts at once
        self._recent: deque[Pairing] = deque(maxlen=config.queue_steps)

    @property
    def episode_id(self) -> str:
        """The running episode; empty when there is none."""
        info = self._state.info
        return "" if self._state.phase is Phase.IDLE or info is None else info.episode_id

    def on_sample(self, stream: str, stamp_ns: int, value: np.ndarray, now_ns: int) -> bool:
        """A sample of a stream of the contract; returns whether it completed an observation."""
        self._counts.add(stream, stamp_ns)
        self._unfit.pop(stream, None)
        observation = self._sync.add(stream, stamp_ns, value, now_ns)
        if observation is None:
            return False
        if step := self._clock.add(observation.stamp_ns, now_ns):
            self._restart(step, now_ns)
        self._content.add(observation)
        self._alignment.add_observation(observation)
        self.advance(now_ns)
        return True

    def _restart(self, reason: str, now_ns: int) -> None:
        """Breaks the running episode off, and begins anew with the stamps of a clock that was set."""
        if self.episode_id:
            self._state.request_end(Outcome.UNLABELED, reason, now_ns)
            self._complete(now_ns, _END_OF_TIME_NS)
        self._recent.clear()
        self._alignment.restart()
        self._command_ns = -1

    @property
    def clock_steps(self) -> int:
        """How often the ROS clock was set, by the stamps of the observations."""
        return self._clock.count

    @property
    def frozen(self) -> list[str]:
        """A line for each stream whose content stays the same while the arm moves."""
        return self._content.faults()

    @property
    def causes(self) -> Mapping[str, int]:
        """{why: steps of the running episode that were lost before the writer}."""
        return self._state.causes if self.episode_id else {}

    def silence(self, now_ns: int) -> str:
        """That no command arrives while an episode is recorded; empty while they do.

        Args:
            now_ns: steady time.
        """
        if not self.episode_id or self._commanded_ns is None or now_ns - self._commanded_ns < _SILENT_NS:
            return ""
        return f"no command for {(now_ns - self._commanded_ns) / 1e9:.0f} s: is the arbiter active?"

    def on_rejected(self, stream: str, why: str) -> None:
        """A message of this stream did not fit the contract."""
        self._counts.add_rejected(stream)
        self._unfit[stream] = why

    def on_rejected_command(self, why: str) -> None:
        """A command did not fit the contract."""
        if self.episode_id:
            self._state.count_cause(f"a command was dropped: {why}")

    def on_operator_event(self, event: OperatorEvent, now_ns: int, utc: datetime) -> str:
        """Acts on an event for the recorder; returns the reason if it is rejected, else "". Others have no effect.

        Args:
            event: the event.
            now_ns: steady time.
            utc: wall time.
        """
        try:
            if event is OperatorEvent.START:
                self.begin("", "", "", 0, (), utc)
            elif event is OperatorEvent.UNDO_LAST:
                self._writer.undo()
            elif event in _OUTCOMES:
                self.request_end(_OUTCOMES[event], f"operator_{event}", now_ns)
        except ValueError as error:
            return str(error)
        return ""

    def on_command(self, command: ExecutedCommand) -> None:
        """A command of the arbiter; one whose stamp goes back ends the episode before it."""
        if command.stamp_ns < self._command_ns:
            self._restart(SET_BACK, command.receive_ns)
        self._command_ns, self._commanded_ns = command.stamp_ns, command.receive_ns
        self._alignment.add_command(command)
        self._content.command(command.action)
        self.advance(command.receive_ns)

    def on_progress(self, progress: TaskProgress, now_ns: int, utc: datetime) -> None:
        """A message of task/status."""
        self._perturbation = progress.perturbation
        if self._config.auto:
            self._follow(progress, now_ns, utc)
        self._alignment.add_status(progress.stamp_ns, progress.running, progress.remaining, progress.stages)
        self.advance(now_ns)

    def _follow(self, progress: TaskProgress, now_ns: int, utc: datetime) -> None:
        for action in self._auto.on_progress(progress):
            if isinstance(action, AutoStart):
                self._complete(now_ns, progress.stamp_ns)
                if not self.episode_id and not self.rejection:
                    self.begin("", "", "", action.seed, (), utc)
            else:
                self._state.request_end(
                    action.outcome, action.reason, now_ns, truncated=action.truncated, until_ns=action.until_ns
                )

    def begin(self, task: str, instruction: str, operator: str, seed: int, tags: Sequence[str], utc: datetime) -> str:
        """Begins an episode and returns its id; empty texts are replaced by those of the configuration.

        Raises:
            ValueError: an episode is running, or a tag is not "key=value", or `rejection` is set.
        """
        if self.rejection:
            raise ValueError(self.rejection)
        config = self._config
        task = task or config.task
        info = EpisodeInfo(
            episode_id=episode_id(utc, task),
            kind=EpisodeKind.INTERACTION,
            task=task,
            instruction=instruction or config.instruction,
            seed=seed,
            operator=operator or config.operator_name,
            contract_json=self._contract.json,
            created_utc=utc.isoformat(timespec="microseconds"),
            tags={**self._own_tags(), **parse_tags(tags)},
            pre_roll_steps=len(self._recent),
        )
        self._out_of_order = sum(self._sync.out_of_order.values())
        fault = self._state.start(info)
        if fault:
            raise ValueError(fault)
        self._counts.restart()
        self._commanded_ns = None
        self._writer.begin(info)
        while self._recent:
            self._take(self._recent.popleft(), 0)
        return info.episode_id

    def _own_tags(self) -> dict[str, str]:
        tags = {PERTURBATION: self._perturbation, ROBOT: self._config.robot, SITE: self._config.site}
        return {name: value for name, value in tags.items() if value}

    def request_end(
        self, outcome: Outcome | None, reason: str, now_ns: int, *, truncated: bool = False, until_ns: int = 0
    ) -> str:
        """Requests the end of the running episode and returns its id; see EpisodeState.request_end.

        Raises:
            ValueError: there is none, or it is ending already.
        """
        episode = self.episode_id
        fault = self._state.request_end(outcome, reason, now_ns, truncated=truncated, until_ns=until_ns)
        if fault:
            raise ValueError(fault)
        self.advance(now_ns)
        return episode

    def abort(self, episode: str) -> None:
        """The writer has abandoned this episode."""
        if self.episode_id == episode:
            self._state.abort()

    def stop(self, reason: str, now_ns: int) -> None:
        """Completes the running episode, if any, with what has arrived so far; its outcome is UNLABELED."""
        self._state.request_end(Outcome.UNLABELED, reason, now_ns)
        self._complete(now_ns, _END_OF_TIME_NS)

    def _complete(self, now_ns: int, before_ns: int) -> None:
        """Ends an episode that is ENDING without waiting for commands that answer observations before `before_ns`."""
        self.advance(now_ns, before_ns)
        self._hand_over(self._state.poll(now_ns, None, force=True))

    def advance(self, now_ns: int, flush_before_ns: int = 0) -> None:
        """Processes all that is ready. Call it regularly: waits end here."""
        seen, self._out_of_order = self._out_of_order, sum(self._sync.out_of_order.values())
        if self.episode_id:
            self._state.count_out_of_order(self._out_of_order - seen)
            self._commanded_ns = now_ns if self._commanded_ns is None else self._commanded_ns
        for pairing in self._alignment.ready(now_ns, flush_before_ns):
            self._take(pairing, now_ns)
        self._hand_over(self._state.poll(now_ns, self._alignment.oldest_receive_ns))

    def _take(self, pairing: Pairing, now_ns: int) -> None:
        if not self.episode_id:
            self._remember(pairing)
            return
        step = self._state.add(pairing, now_ns, self._why_unpaired(pairing))
        if step is not None and not self._writer.append(step):
            self._state.count_dropped(f"the disk was too slow for queue_steps = {self._config.queue_steps}")

    def _why_unpaired(self, pairing: Pairing) -> str:
        if pairing.observation is not None:
            return ""
        if not pairing.command.observation_stamp_ns:
            return "the arbiter knew no observation"
        return next(iter(self._unfit.values()), self._unpaired)

    def _remember(self, pairing: Pairing) -> None:
        """Keeps the steps of the seconds before a start, as far as they can be part of an episode."""
        command, recent = pairing.command, self._recent
        if recent and command.tick <= recent[-1].command.tick:
            recent.clear()
        if pairing.observation is not None and command.is_finite:
            recent.append(pairing)
        while recent and command.receive_ns - recent[0].command.receive_ns >= self._config.pre_roll_s * 1e9:
            recent.popleft()

    @property
    def drops(self) -> DropCounts:
        """What the running episode misses so far."""
        return self._state.drops

    def _hand_over(self, end: EpisodeEnd | None) -> None:
        if end is not None:
            self._writer.end(replace(end, streams=self._counts.counts()))
            info = self._state.info
            self._ended("" if info is None else info.episode_id, end.reason)
