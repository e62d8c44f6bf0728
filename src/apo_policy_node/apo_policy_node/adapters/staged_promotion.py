"""`promotion: staged`: newly published adapters go through a shadow and drawn episodes before they are promoted.

All of it runs in the thread that loads adapters; it reads and writes the store's files. No ROS."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable
from dataclasses import dataclass

from apo_core.adapters.manifest import policy_name
from apo_core.adapters.store import AdapterStore
from apo_core.adapters.trial import Stage, Trial, TrialLimits, TrialOutcome
from apo_core.adapters.trial_file import claimed
from apo_core.errors import AdapterError
from apo_policy_node.adapters.reloader import AdapterReloader, ReloadResult, ReloadState, StagedAdapter
from apo_policy_node.adapters.shadow import Shadow

Serve = Callable[[StagedAdapter, Callable[[ReloadResult], None]], None]
_WRITTEN_EVERY = 100  # steps of the shadow


class EpisodeChange(enum.StrEnum):
    """What a recorder reports of an episode; values as in apo_interfaces/EpisodeEvent."""

    STARTED = "STARTED"
    ENDED = "ENDED"
    SAVED = "SAVED"
    DISCARDED = "DISCARDED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class EpisodeReport:
    """An event of the recorder."""

    change: EpisodeChange
    episode_id: str
    outcome: TrialOutcome = TrialOutcome.VOID
    takeovers: int = 0
    adapter_versions: tuple[int, ...] = ()  # whose actions were executed
    begin_ns: int = 0  # stamp of its first observation, ROS time


@dataclass(frozen=True, slots=True)
class TrialMeans:
    """What a trial needs of the world; each is called in the thread that loads adapters.

    Attributes:
        serve: swaps an adapter in between two inferences, then calls back in that thread.
        post: runs a job in the thread that loads adapters; callable from any.
        now_ns: ROS time.
        now_utc: ISO 8601.
        random: uniform in [0, 1).
        changed: receives every state of the trial.
        report: receives a line for people.
        rejected: receives the result of a candidate that cannot be loaded.
    """

    serve: Serve
    post: Callable[[Callable[[], None]], None]
    now_ns: Callable[[], int]
    now_utc: Callable[[], str]
    random: Callable[[], float]
    changed: Callable[[Trial], None]
    report: Callable[[str], None]
    rejected: Callable[[ReloadResult], None]


class StagedPromotion:
    """Finds candidates in a store and brings each to a decision.

    Args:
        reloader: verifies candidates and predicts with them beside the policy.
        store: where candidates appear, trials are kept, and what is promoted is named.
        limits: of the trials that begin here.
        shadow: counts of the shadow stage.
        means: see TrialMeans.
    """

    def __init__(
        self, reloader: AdapterReloader, store: AdapterStore, limits: TrialLimits, shadow: Shadow, means: TrialMeans
    ):
        self._reloader, self._store, self._limits, self._shadow = reloader, store, limits, shadow
        self._means = means
        self._trial: Trial | None = None
        self._staged: dict[int, StagedAdapter] = {}  # the two adapters of the trial
        self._ready_ns: dict[int, int] = {}  # place of a draw -> when its adapter had begun to serve
        self._claim = contextlib.ExitStack()
        self._unwritten = False
        self._running = ""  # episode
        self.fault = ""  # why no trial goes on; empty: it does, or there is none

    @property
    def trial(self) -> Trial | None:
        """The newest one since the start."""
        return self._trial

    def look(self) -> None:
        """Looks for a candidate, and writes what could not be written before. Call it regularly.

        Raises:
            AdapterError: the store cannot be read or written.
        """
        if self._unwritten and self._trial is not None:
            self._write(self._trial)
        self._promote_if_decided()
        if self._trial is None or not self._trial.is_open:
            self._seek()

    def step_shadow(self) -> None:
        """Answers the newest observation as the candidate."""
        trial = self._trial
        if trial is None or trial.stage is not Stage.SHADOW:
            return
        try:
            counts = self._shadow.step(self._reloader.first_action)
        except AdapterError as error:
            self._decide(Stage.ROLLED_BACK, f"no action in the shadow: {error}")
            return
        after = trial.shadowed(counts)
        if after.stage is Stage.CANARY:
            self._shadow.stop()
        self._trial = after
        if after.stage is not trial.stage or counts.steps % _WRITTEN_EVERY == 0:
            self._keep(after)

    def on_episode(self, report: EpisodeReport) -> None:
        """An event of the recorder."""
        episode, change = report.episode_id, report.change
        if change is EpisodeChange.STARTED:
            self._running = episode
        elif episode == self._running:
            self._running = ""
        trial = self._trial
        if trial is None or not trial.is_open:
            return
        after = trial
        if change is EpisodeChange.STARTED:
            after = trial.begun(episode)
        elif change is not EpisodeChange.ENDED:
            after = self._ended(trial, report)
        if change is EpisodeChange.DISCARDED:
            after = after.withdrawn(episode)
        if after != trial:
            self._keep(after)
        if not after.is_open:
            self._conclude(after)
        elif after.wants_draw and not self._running:
            self._draw(after)

    def interrupt(self, reason: str) -> None:
        """Something else than the trial has chosen what serves."""
        if self._trial is not None and self._trial.is_open:
            self._keep(self._trial.decided(Stage.ROLLED_BACK, self._means.now_utc(), reason))
            self._release()

    def followed(self, version: int) -> None:
        """A promotion that others have made is followed."""
        if self._trial is not None and self._trial.candidate == version and self._trial.stage is Stage.PROMOTED:
            return
        self.interrupt(f"{policy_name(version)} was promoted meanwhile")
        trial = self._store.trial(version) if version else None
        if version and (trial is None or trial.stage is not Stage.PROMOTED):
            self._means.report(
                f"adapter {version} serves without a trial ({self._store.promotion().reason or 'promoted'}); a trainer "
                "with promote: false (config/trainer.yaml) leaves the decision to the trial"
            )

    def close(self) -> None:
        """Leaves the trial to the next process."""
        self._release()

    def _seek(self) -> None:
        settled = max(self._reloader.serving.version, self._store.promotion().number)
        newest = self._store.latest()
        if newest <= settled or (self._trial is not None and self._trial.candidate == newest):
            self.fault = ""
            return
        earlier = self._store.trial(newest)
        if earlier is None or earlier.is_open:
            self._begin(newest, earlier)
            return
        self.fault = ""
        if self._trial is None:  # it may have been decided just before the process ended
            self._trial = earlier
            self._promote_if_decided()

    def _begin(self, candidate: int, earlier: Trial | None) -> None:
        serving = self._reloader.serving
        if not self._claim.enter_context(claimed(self._store.path, candidate)):
            self._claim.close()
            self.fault = f"another policy node has adapter {candidate} on trial"
            return
        self.fault = ""
        sequence = self._store.promotion().sequence
        trial = Trial(candidate, serving.version, sequence, self._limits) if earlier is None else earlier.resumed()
        staged = self._reloader.stage(candidate)
        if isinstance(staged, ReloadResult):
            self._keep(trial.decided(Stage.ROLLED_BACK, self._means.now_utc(), f"rejected: {staged.reason}"))
            self._release()
            self._means.rejected(staged)
            return
        if (trial.serving, trial.sequence) != (serving.version, sequence):
            reason = f"{policy_name(serving.version)} serves now, by promotion {sequence}"
            self._keep(trial.decided(Stage.ROLLED_BACK, self._means.now_utc(), reason))
            self._release()
            return
        self._staged = {candidate: staged, serving.version: serving}
        if trial.stage is Stage.SHADOW:
            trial = trial.shadowed(trial.shadow)
        self._keep(trial)
        if trial.stage is Stage.SHADOW:
            self._shadow.start(trial.shadow)

    def _ended(self, trial: Trial, report: EpisodeReport) -> Trial:
        place = trial.place(report.episode_id)
        if place is None:
            return trial
        ready_ns = self._ready_ns.pop(place, None)
        late = ready_ns is None or report.begin_ns < ready_ns
        outcome = report.outcome if report.change is EpisodeChange.SAVED else TrialOutcome.VOID
        return trial.ended(
            report.episode_id,
            outcome,
            report.takeovers,
            self._means.now_utc(),
            report.adapter_versions,
            "it began before the drawn adapter served" if late and outcome is not TrialOutcome.VOID else "",
        )

    def _draw(self, trial: Trial) -> None:
        drawn, unwritten = trial.drawn(self._means.random(), self._means.now_utc()), self._unwritten
        try:
            self._write(drawn)  # before the episode, or there is no draw
        except AdapterError as error:
            self._unwritten = unwritten  # what came before the draw
            self.fault = str(error)
            self._means.report(f"no episode is drawn: {error}")
            return
        self._trial = drawn
        candidate, place, waiting = drawn.candidate, len(drawn.episodes) - 1, drawn.episodes[-1]
        # also where it serves already: what an episode waits for must not depend on the draw
        self._means.serve(
            self._staged[waiting.version],
            lambda result: self._means.post(lambda: self._on_served(candidate, place, result)),
        )
        self._means.changed(drawn)

    def _on_served(self, candidate: int, place: int, result: ReloadResult) -> None:
        if self._trial is None or self._trial.candidate != candidate or not self._trial.is_open:
            return
        if result.state is ReloadState.REJECTED:
            self._decide(Stage.ROLLED_BACK, f"rejected: {result.reason}")
        else:
            self._ready_ns[place] = self._means.now_ns()

    def _decide(self, stage: Stage, reason: str) -> None:
        if self._trial is not None and self._trial.is_open:
            decided = self._trial.decided(stage, self._means.now_utc(), reason)
            self._keep(decided)
            self._conclude(decided)

    def _conclude(self, trial: Trial) -> None:
        self._means.report(f"adapter {trial.candidate} {trial.stage.replace('_', ' ')}: {trial.reason}")
        if trial.stage is Stage.ROLLED_BACK and trial.serving in self._staged:
            self._means.serve(self._staged[trial.serving], lambda _: None)
        self._release()
        with contextlib.suppress(AdapterError):  # the next look tries again
            self._promote_if_decided()

    def _promote_if_decided(self) -> None:
        """Writes what follows from a decision, also of an earlier process; the policies of the store load it then."""
        trial = self._trial
        if trial is None or trial.stage is not Stage.PROMOTED:
            return
        if self._store.promotion().sequence == trial.sequence:
            self._store.promote(trial.candidate, trial.decided_utc, trial.reason)

    def _keep(self, trial: Trial) -> None:
        """What has happened counts, whether or not it can be written now."""
        self._trial = trial
        try:
            self._write(trial)
        except AdapterError as error:
            self._means.report(str(error))
        self._means.changed(trial)

    def _write(self, trial: Trial) -> None:
        self._unwritten = True
        self._store.record_trial(trial)
        self._unwritten, self.fault = False, ""

    def _release(self) -> None:
        self._shadow.stop()
        self._claim.close()
        self._staged, self._ready_ns = {}, {}
