"""The trial of a candidate adapter beside the policy that serves. Pure; `trial_file` keeps it.

First the candidate answers live observations in the shadow of the serving policy, then whole episodes are drawn at
random for one of the two. A draw is written before its episode begins, so that no choice of episodes can favour either.
An episode counts as a success only without a takeover. Evidence that holds at any time of looking decides (`evidence`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import takewhile

from apo_core.adapters.manifest import policy_name
from apo_core.config.parameters import parameter
from apo_core.evidence import Evidence, Finding, unpaired_evidence

MAX_DRAWS = 10_000
MAX_TEXT = 1024
_MAX_EPISODES = 5_000


class Stage(StrEnum):
    """Of a candidate."""

    SHADOW = "shadow"
    CANARY = "canary"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


class TrialOutcome(StrEnum):
    """Of an episode; empty while it is drawn or runs."""

    NONE = ""
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    VOID = "VOID"  # discarded, unlabelled, or not driven by the drawn adapter alone


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """When a trial ends; parameters of the policy node."""

    shadow_steps: int = parameter(
        300, "staged: observations that a candidate answers beside the policy before it drives", low=0, high=1_000_000
    )
    trial_share: float = parameter(
        0.5, "staged: share of the episodes that are drawn for the candidate", low=0.05, high=0.95
    )
    trial_alpha: float = parameter(
        0.05, "staged: largest probability of a wrong promotion, and of a wrong rollback", low=0.0001, high=0.5
    )
    trial_takeovers: int = parameter(
        6, "staged: episodes of the candidate in a row with a takeover that end its trial", low=1, high=_MAX_EPISODES
    )
    trial_episodes: int = parameter(
        200,
        "staged: episodes after which a candidate that has not shown itself better is dropped",
        low=1,
        high=_MAX_EPISODES,
    )


@dataclass(frozen=True, slots=True)
class TrialEpisode:
    """One draw, and what came of it."""

    version: int  # adapter that is to serve in it
    drawn_utc: str  # ISO 8601
    episode_id: str = ""  # of its file; empty until it has begun
    outcome: TrialOutcome = TrialOutcome.NONE
    takeovers: int = 0
    reason: str = ""  # of a void one

    @property
    def counts(self) -> bool:
        """Whether it is evidence."""
        return self.outcome in (TrialOutcome.SUCCESS, TrialOutcome.FAILURE)

    @property
    def unaided(self) -> bool:
        """Whether it succeeded without a takeover."""
        return self.outcome is TrialOutcome.SUCCESS and not self.takeovers


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """Answers of the candidate beside the serving policy's, to the same observations."""

    steps: int = 0
    disagreement: float = 0.0  # mean distance of the two actions, in half ranges of the contract
    corrections: int = 0  # of the steps, those in which the operator drove
    error: float = 0.0  # mean distance of the candidate's action to the operator's, as above
    serving_error: float = 0.0  # the same of the serving policy


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate's trial so far."""

    candidate: int
    serving: int  # 0 is the base policy
    sequence: int = 0  # of the promotion that was in force when it began
    limits: TrialLimits = field(default_factory=TrialLimits)
    stage: Stage = Stage.SHADOW
    shadow: ShadowCounts = field(default_factory=ShadowCounts)
    episodes: tuple[TrialEpisode, ...] = ()  # in the order of their draws
    decided_utc: str = ""  # ISO 8601; empty while the trial goes on
    reason: str = ""  # of the decision

    @property
    def is_open(self) -> bool:
        """Whether nothing is decided yet."""
        return self.stage in (Stage.SHADOW, Stage.CANARY)

    @property
    def waiting(self) -> TrialEpisode | None:
        """The draw for an episode that has not begun yet."""
        last = self.episodes[-1] if self.episodes else None
        return last if last is not None and last.outcome is TrialOutcome.NONE and not last.episode_id else None

    @property
    def wants_draw(self) -> bool:
        """Whether the next episode has no draw yet and needs one."""
        return self.stage is Stage.CANARY and self.waiting is None

    @property
    def evidence(self) -> Evidence:
        """That the candidate succeeds unaided more often, or less often, than the serving policy."""
        return unpaired_evidence(*self.counts(self.candidate), *self.counts(self.serving), self.limits.trial_share)

    @property
    def takeovers_in_a_row(self) -> int:
        """The candidate's newest episodes with a takeover."""
        own = [episode for episode in reversed(self.episodes) if episode.counts and episode.version == self.candidate]
        return sum(1 for _ in takewhile(lambda episode: episode.takeovers, own))

    @property
    def text(self) -> str:
        """How it stands, in words; which adapter drives the running episode stays out of it, the operator judges."""
        stage = f"adapter {self.candidate} {self.stage.replace('_', ' ')}"
        if self.stage is Stage.SHADOW:
            return f"{stage}: {self.shadow.steps} of {self.limits.shadow_steps} steps"
        return f"{stage}: {self.reason or self.summary()}"

    def counts(self, version: int) -> tuple[int, int]:
        """Successes without a takeover, and all other episodes that count, of one of the two."""
        own = [episode for episode in self.episodes if episode.counts and episode.version == version]
        successes = sum(episode.unaided for episode in own)
        return successes, len(own) - successes

    def shadowed(self, counts: ShadowCounts) -> Trial:
        """After more observations; draws begin once `shadow_steps` are answered."""
        self._require(self.stage is Stage.SHADOW, "is in its shadow stage no more")
        stage = Stage.CANARY if counts.steps >= self.limits.shadow_steps else Stage.SHADOW
        return replace(self, shadow=counts, stage=stage)

    def drawn(self, number: float, now_utc: str) -> Trial:
        """With a draw for the next episode.

        Args:
            number: uniform in [0, 1).
            now_utc: ISO 8601.
        """
        self._require(self.wants_draw, "needs no draw")
        version = self.candidate if number < self.limits.trial_share else self.serving
        return replace(self, episodes=(*self.episodes, TrialEpisode(version, now_utc)))

    def begun(self, episode_id: str) -> Trial:
        """An episode has begun under this name; one without a draw is not part of the trial.

        An earlier one that has not ended by now never will.
        """
        waiting = self.waiting
        after = self._voided(lambda episode: bool(episode.episode_id), "its end was not seen")
        if waiting is None:
            return after
        return replace(after, episodes=(*after.episodes[:-1], replace(waiting, episode_id=episode_id)))

    def ended(
        self,
        episode_id: str,
        outcome: TrialOutcome,
        takeovers: int,
        now_utc: str,
        versions: Collection[int] = (),
        void: str = "",
    ) -> Trial:
        """An episode has ended; with a decision, if it brings one. One that is not part of the trial changes nothing.

        Args:
            episode_id: of the episode.
            outcome: SUCCESS, FAILURE or VOID.
            takeovers: of the operator.
            now_utc: ISO 8601.
            versions: adapters whose actions were executed in it; another one than drawn makes it void.
            void: why it does not count whatever its outcome is; empty: it counts.
        """
        place = self.place(episode_id)
        if place is None or not self.is_open:
            return self
        episode = self.episodes[place]
        if others := sorted(set(versions) - {episode.version}):
            void = void or f"{', '.join(map(policy_name, others))} drove in it"
        if outcome is TrialOutcome.VOID:
            void = void or "it has no outcome"
        ended = replace(
            episode, outcome=TrialOutcome.VOID if void else outcome, takeovers=takeovers, reason=void[:MAX_TEXT]
        )
        after = replace(self, episodes=(*self.episodes[:place], ended, *self.episodes[place + 1 :]))
        if not void:
            return after._judged(now_utc)
        if len(after.episodes) < MAX_DRAWS:
            return after
        return after.decided(Stage.ROLLED_BACK, now_utc, f"undecided after {MAX_DRAWS} draws: {after.summary()}")

    def place(self, episode_id: str) -> int | None:
        """Which draw an episode that runs belongs to, counted from 0; None where it has none."""
        runs = [each.outcome is TrialOutcome.NONE and each.episode_id == episode_id for each in self.episodes]
        return runs.index(True) if episode_id and any(runs) else None

    def withdrawn(self, episode_id: str) -> Trial:
        """The operator has discarded an episode afterwards."""
        if not self.is_open or not episode_id:
            return self
        return self._voided(lambda episode: episode.episode_id == episode_id, "it was discarded", also_ended=True)

    def resumed(self) -> Trial:
        """After a restart of the node: what was drawn or ran then is void."""
        return self._voided(lambda _: True, "the policy node began anew") if self.is_open else self

    def decided(self, stage: Stage, now_utc: str, reason: str) -> Trial:
        """Ends the trial; a draw whose episode has not ended is void."""
        self._require(self.is_open, f"was {self.stage} already")
        after = self._voided(lambda _: True, "the trial ended before it")
        return replace(after, stage=stage, decided_utc=now_utc, reason=reason[:MAX_TEXT])

    def summary(self) -> str:
        """Successes of both, in words."""
        parts = []
        for version in (self.candidate, self.serving):
            successes, others = self.counts(version)
            parts.append(f"{policy_name(version)} succeeded unaided in {successes} of {successes + others}")
        return ", ".join(parts)

    def _judged(self, now_utc: str) -> Trial:
        in_a_row, limits = self.takeovers_in_a_row, self.limits
        if in_a_row >= limits.trial_takeovers:
            reason = f"the operator took over in {in_a_row} of its episodes in a row"
            return self.decided(Stage.ROLLED_BACK, now_utc, reason)
        finding = self.evidence.finding(limits.trial_alpha)
        if finding is not Finding.UNDECIDED:
            stage = Stage.PROMOTED if finding is Finding.BETTER else Stage.ROLLED_BACK
            return self.decided(stage, now_utc, f"{finding} than {policy_name(self.serving)}: {self.summary()}")
        if sum(episode.counts for episode in self.episodes) >= limits.trial_episodes:
            return self.decided(Stage.ROLLED_BACK, now_utc, f"undecided: {self.summary()}")
        return self

    def _voided(self, which: Callable[[TrialEpisode], bool], reason: str, also_ended: bool = False) -> Trial:
        made = [
            replace(each, outcome=TrialOutcome.VOID, reason=reason)
            if (each.outcome is TrialOutcome.NONE or also_ended) and which(each)
            else each
            for each in self.episodes
        ]
        return replace(self, episodes=tuple(made))

    def _require(self, holds: bool, text: str) -> None:
        if not holds:
            raise ValueError(f"the trial of adapter {self.candidate} {text}")
