"""The order of a session: deploy with the operator, train, reload; evaluate in the end. Pure; the stack is injected."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Protocol

from apo_bringup.session.plan import (
    SessionConfig,
    Trial,
    deployment_trials,
    evaluation_trials,
    reload_trial,
)
from apo_bringup.session.report import EpisodeRecord, ReloadRecord, SessionRecord, TrainingRecord
from apo_core.adapters.manifest import policy_name
from apo_core.errors import ApoError
from apo_core.types import Purpose
from apo_trainer.states import TrainerState

Update = Callable[[str], None]


class SessionStopped(Exception):
    """The person or a failure ended the session; the message names the cause."""


class Stack(Protocol):
    """The running nodes, as the session sees them. Every call blocks and may raise SessionStopped."""

    def wait_ready(self, update: Update) -> None:
        """Returns when trials may begin."""

    def run_trial(self, trial: Trial, adapter_version: int, update: Update) -> EpisodeRecord:
        """Resets, records until the task is over, saves."""

    def run_reload_trial(self, trial: Trial, version: int, update: Update) -> tuple[EpisodeRecord, ReloadRecord]:
        """A trial in whose middle the adapter is swapped."""

    def load_adapter(self, version: int) -> None:
        """Serves an adapter; 0 is the base policy."""

    def train(self, serving: int, episode_ids: list[str], round_index: int, update: Update) -> TrainingRecord:
        """Trains on the episodes an adapter that is to replace `serving`."""

    def measure(self, record: SessionRecord) -> None:
        """Fills in what the arbiter counted."""

    def end_recording(self) -> EpisodeRecord | None:
        """Saves the episode of a trial that was interrupted, if there is one; never raises SessionStopped."""


def _describe(episode: EpisodeRecord, total: int, index: int, what: str) -> str:
    outcome = "success" if episode.success else "failure"
    driven = f", operator drove {100 * episode.intervention_share:.0f} %" if episode.takeovers else ""
    return (
        f"  {what} {index + 1:>3}/{total}  seed {episode.seed}  {outcome}  {episode.steps:>3} steps"
        f"  {episode.takeovers} takeover(s){driven}  adapter {episode.adapter_version}"
    )


def run_session(config: SessionConfig, stack: Stack, record: SessionRecord, note: Update, update: Update) -> int:
    """Runs a whole session into `record`; returns the adapter that serves in the end.

    Raises:
        SessionStopped: ended early; `record` holds everything up to then.
    """
    serving = 0
    for index in range(config.rounds):
        trials = deployment_trials(config, index)
        note(f"round {index}: deploying {policy_name(serving)} with the operator")
        for trial in trials:
            episode = stack.run_trial(trial, serving, update)
            record.episodes.append(episode)
            stack.measure(record)
            note(_describe(episode, len(trials), trial.index, "episode"))
        data = [e.episode_id for e in record.episodes if e.purpose == Purpose.DEPLOYMENT]
        note(f"round {index}: training on {len(data)} episodes, to replace {policy_name(serving)}")
        training = stack.train(serving, data, index, update)
        record.trainings.append(training)
        if training.state != TrainerState.PUBLISHED:
            note(f"  {training.state.lower()}: {training.message}; adapter {serving} goes on serving")
            continue
        note(
            f"  adapter {training.adapter_version}, trained from {policy_name(training.parent)}, after "
            f"{training.steps} steps in {training.seconds:.0f} s"
        )
        episode, reload = stack.run_reload_trial(reload_trial(config, index), training.adapter_version, update)
        record.episodes.append(episode)
        record.reloads.append(reload)
        stack.measure(record)
        if reload.accepted:
            serving = training.adapter_version
            note(
                f"  reloaded while the robot was driven: {reload.ticks_missed} of {reload.ticks} ticks missed, "
                f"swap {reload.swap_ms:.1f} ms, slowest answer {reload.response_max_ms:.0f} ms"
            )
        else:
            note(f"  the policy node rejected adapter {reload.version}: {reload.message}")
    for version in dict.fromkeys((0, serving)):
        trials = evaluation_trials(config)
        note(f"evaluating {policy_name(version)} alone on {len(trials)} held-out seeds")
        stack.load_adapter(version)
        successes = 0
        for trial in trials:
            episode = stack.run_trial(trial, version, update)
            record.episodes.append(episode)
            stack.measure(record)
            successes += episode.success
        note(f"  {successes} of {len(trials)} succeeded")
    return serving


def conduct(
    config: SessionConfig,
    record: SessionRecord,
    prepare: Callable[[], None],
    connect: Callable[[], Stack],
    note: Update,
    update: Update,
) -> int:
    """Every phase of a session: what must be made before, the start of the nodes, the session.

    Whatever ends it early is written into `record.stopped`, and an episode that was being recorded into `record`.

    Args:
        config: the plan.
        record: what is measured goes here.
        prepare: makes what the nodes need.
        connect: gives the stack.
        note: takes lines that stay.
        update: takes the live line.

    Returns:
        The adapter that serves in the end.
    """
    stack = None
    try:
        prepare()
        stack = connect()
        stack.wait_ready(update)
        note("all nodes are up")
        return run_session(config, stack, record, note, update)
    except SessionStopped as error:
        record.stopped = str(error)
    except Exception as error:  # the report of what was measured until then must not be lost
        record.stopped = f"{type(error).__name__}: {error}"
        if not isinstance(error, ApoError | OSError):
            traceback.print_exc()
    note(f"stopping: {record.stopped}")
    if stack is not None:
        interrupted = stack.end_recording()
        if interrupted is not None:
            record.episodes.append(interrupted)
            note(f"  the episode that was being recorded is kept, {interrupted.steps} steps: {interrupted.path}")
    return max((reload.version for reload in record.reloads if reload.accepted), default=0)
