"""Records of a session and its live lines, from the nodes' messages, which are read by their fields. Pure."""

from __future__ import annotations

import math
from typing import Any

from apo_bringup.session.plan import SessionConfig, Trial
from apo_bringup.session.report import EpisodeRecord, ReloadRecord, SessionRecord, TrainingRecord
from apo_core.types import PERTURBATION, Outcome
from apo_trainer.states import TrainerState

TICKS_BEFORE_RELOAD = 5  # the robot must be moving when the adapter changes
# fields of the EndEpisode request of a trial that never came to its end
INTERRUPTED = {"outcome": Outcome.UNLABELED.value, "reason": "session_stopped", "truncated": True}
_UNFINISHED = (TrainerState.IDLE, TrainerState.RUNNING)


def overdue(what: str, parameter: str, value: float, file: str) -> str:
    """Why the session stops when something did not happen in time.

    Args:
        what: what was waited for.
        parameter: the limit's name.
        value: the limit, seconds.
        file: where to change it.
    """
    return f"{what} did not come in time ({file}: {parameter} = {value:.1f})"


def start_fields(config: SessionConfig, trial: Trial) -> dict[str, Any]:
    """Fields of the `apo_interfaces/StartEpisode` request of a trial."""
    return {
        "task": config.task,
        "instruction": config.instruction,
        "operator_name": "scripted" if trial.with_operator else "",
        "seed": trial.seed,
        "tags": [*trial.tags(), *([f"{PERTURBATION}={changes}"] if (changes := config.perturbation.text) else [])],
    }


def end_fields(status: Any) -> dict[str, Any]:
    """Fields of the `apo_interfaces/EndEpisode` request, from the last `apo_interfaces/TaskStatus` of a trial."""
    return {
        "outcome": Outcome.SUCCESS.value if status.success else Outcome.FAILURE.value,
        "reason": "task_success" if status.success else "step_limit",
        "truncated": status.truncated,
        "until": status.last_observation_stamp,
    }


def episode_record(trial: Trial, adapter_version: int, event: Any, seconds: float) -> EpisodeRecord:
    """A recorded trial.

    Args:
        trial: what was asked for.
        adapter_version: adapter that served at its start.
        event: the recorder's `apo_interfaces/EpisodeEvent` SAVED.
        seconds: wall time.
    """
    return EpisodeRecord(
        episode_id=event.episode_id,
        path=event.path,
        purpose=trial.purpose,
        round=trial.round,
        seed=trial.seed,
        adapter_version=adapter_version,
        outcome=Outcome(event.outcome),
        steps=event.steps,
        takeovers=event.takeovers,
        intervention_share=event.intervention_share,
        frames_recorded=event.frames_recorded,
        frames_lost=event.frames_lost,
        seconds=seconds,
    )


def is_over(status: Any | None, trial_before: int) -> bool:
    """Whether the trial after number `trial_before` has ended, from the last `apo_interfaces/TaskStatus`."""
    return status is not None and status.trial > trial_before and not status.running


def trial_line(trial: Trial, status: Any | None, control: Any | None) -> str:
    """The live line of a trial, from the last TaskStatus and ControlStatus; empty before both."""
    if status is None or control is None:
        return ""
    return (
        f"  {trial.purpose} {trial.index + 1}  step {status.step:>3}  {control.state:<6} ({control.reason})"
        f"  adapter {control.adapter_version}  missed {control.ticks_missed}"
    )


def count_ticks(record: SessionRecord, control: Any | None) -> None:
    """Writes into `record` what the arbiter has counted since it became active (`apo_interfaces/ControlStatus`)."""
    if control is None:
        return
    record.ticks, record.ticks_missed = control.tick, control.ticks_missed
    if not math.isnan(control.takeover_latency_p50_ms):
        record.takeover_latency_p50_ms = control.takeover_latency_p50_ms
        record.takeover_latency_p99_ms = control.takeover_latency_p99_ms


class ReloadWindow:
    """The control ticks of a trial, and which of them lie between a reload's request and its answer."""

    def __init__(self) -> None:
        self._ticks: list[Any] = []
        self._begin: int | None = None
        self._end: int | None = None

    def add(self, control: Any) -> None:
        """Takes an `apo_interfaces/ControlStatus`."""
        self._ticks.append(control)

    @property
    def is_due(self) -> bool:
        """The robot is driven and nothing was requested yet."""
        return self._begin is None and len(self._ticks) >= TICKS_BEFORE_RELOAD

    @property
    def is_requested(self) -> bool:
        return self._begin is not None

    def request(self) -> None:
        """The reload is requested now: the last tick is the first of the window."""
        self._begin = max(len(self._ticks) - 1, 0)

    def answer(self) -> None:
        """The answer is there: the next tick is the last of the window."""
        if self._end is None:
            self._end = len(self._ticks)

    def record(self, version: int, answer: Any, status: Any) -> ReloadRecord:
        """The reload.

        Args:
            version: adapter that was requested.
            answer: response of `apo_interfaces/LoadAdapter`.
            status: the `apo_interfaces/AdapterStatus` that followed.
        """
        window = [] if self._begin is None or self._end is None else self._ticks[self._begin : self._end + 1]
        return ReloadRecord(
            version=version,
            accepted=answer.accepted,
            message=answer.message,
            ticks=window[-1].tick - window[0].tick + 1 if window else 0,
            ticks_missed=window[-1].ticks_missed - window[0].ticks_missed if window else 0,
            stage_ms=status.stage_ms,
            swap_ms=status.swap_ms,
            response_max_ms=max((c.response_ms for c in window if math.isfinite(c.response_ms)), default=0.0),
        )


class TrainingProgress:
    """Follows one training run by the trainer's status.

    Args:
        run_id: the run; the status of others is ignored.
        round_index: round of the session.
        parent: adapter that it trains from; 0: the base policy.
    """

    def __init__(self, run_id: str, round_index: int, parent: int = 0):
        self._run_id, self._round, self._parent = run_id, round_index, parent
        self._latest: Any | None = None
        self._losses: dict[int, float] = {}

    def add(self, status: Any | None) -> None:
        """Takes an `apo_interfaces/TrainerStatus`."""
        if status is None or status.run_id != self._run_id:
            return
        self._latest = status
        if status.step and math.isfinite(status.loss):
            self._losses[status.step] = status.loss

    @property
    def is_over(self) -> bool:
        return self._latest is not None and self._latest.state not in _UNFINISHED

    def line(self) -> str:
        """The live line; empty before the first status."""
        latest = self._latest
        if latest is None:
            return ""
        left = "" if math.isnan(latest.eta_s) else f"  {latest.eta_s:.0f} s left"
        return f"  training  step {latest.step}/{latest.steps}  loss {latest.loss:.4f}{left}  {latest.message}"

    def record(self, seconds: float) -> TrainingRecord:
        """The run.

        Args:
            seconds: wall time.

        Raises:
            RuntimeError: it is not over.
        """
        latest = self._latest
        if latest is None or not self.is_over:
            raise RuntimeError(f"run {self._run_id} is not over")
        return TrainingRecord(
            round=self._round,
            run_id=self._run_id,
            state=latest.state,
            message=latest.message,
            adapter_version=latest.adapter_version,
            steps=latest.step,
            seconds=seconds,
            losses=tuple(sorted(self._losses.items())),
            parent=self._parent,
        )
