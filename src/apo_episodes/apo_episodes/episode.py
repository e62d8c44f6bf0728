"""One episode in memory: recorded facts, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from apo_core.contract.contract import Contract
from apo_core.types import ControlSource, EpisodeInfo, EpisodeKind, EpisodeOutcome, StepLabel
from apo_episodes.annotation import Annotation
from apo_episodes.hdf5.schema import SCHEMA_MINOR, SCHEMA_VERSION
from apo_episodes.labeling import (
    LabelRule,
    derive_labels,
    intervention_share,
    long_rests,
    resting_steps,
    takeovers,
    undesirable_windows,
)
from apo_episodes.takeover_windows import StepFacts, Window


@dataclass(frozen=True)
class Episode:
    """One episode in memory; T steps. Rows of `policy_actions` and `human_actions` without an action are NaN."""

    path: Path
    info: EpisodeInfo
    outcome: EpisodeOutcome
    contract: Contract
    losses: Mapping[str, int]
    images: Mapping[str, np.ndarray]  # {camera: (T, H, W, C)}, see types.Observation; empty when read without images
    state: Mapping[str, np.ndarray]  # {key: float32 (T, n)}
    executed_actions: np.ndarray  # float32 (T, A)
    policy_actions: np.ndarray  # float32 (T, A)
    human_actions: np.ndarray  # float32 (T, A)
    sources: tuple[ControlSource, ...]
    reasons: tuple[str, ...]
    adapter_versions: np.ndarray  # uint32 (T,)
    ticks: np.ndarray  # int64 (T,)
    stamps_ns: Mapping[str, np.ndarray]  # {observation, command, chunk, receive: int64 (T,)}
    header_stamps_ns: Mapping[str, np.ndarray] = field(default_factory=dict)  # {camera or state key: int64 (T,)}
    stream_receive_ns: Mapping[str, np.ndarray] = field(default_factory=dict)  # {camera or state key: int64 (T,)}
    clipped: tuple[str, ...] = ()  # contract limits that changed the action; empty in version 1
    streams: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # {camera or state key: counts}
    rejections: Mapping[str, int] = field(default_factory=dict)  # {why: steps that are missing}
    schema_version: int = SCHEMA_VERSION
    image_compression: str = ""  # empty in version 1
    schema_minor: int = SCHEMA_MINOR
    policy_tokens: np.ndarray | None = None  # int32 (T, A), -1 where unknown; None: the file has none
    task_remaining: np.ndarray | None = None  # float32 (T,), unit of the task, NaN where unknown; None: as above
    stage_names: tuple[str, ...] = ()  # of the task, in order; empty: the file has none
    task_stages: np.ndarray | None = None  # int8 (T, S), 1 where a stage is reached, -1 where unknown; None: as above
    annotation: Annotation | None = None  # of a person, in force; its outcome is that of `outcome`
    recorded_outcome: EpisodeOutcome | None = None  # of the file, where an annotation has another

    @property
    def num_steps(self) -> int:
        return len(self.sources)

    @cached_property
    def takeovers(self) -> list[int]:
        return takeovers(self.sources)

    @property
    def furthest_stage(self) -> str:
        """Name of the last stage that was ever reached; "" for none."""
        if self.task_stages is None:
            return ""
        reached = np.flatnonzero((self.task_stages == 1).any(axis=0))
        return self.stage_names[reached[-1]] if len(reached) else ""

    def stages_at(self, step: int) -> dict[str, bool] | None:
        """{stage: whether it is reached} at a step; None where it is unknown."""
        if self.task_stages is None or (self.task_stages[step] < 0).any():
            return None
        return dict(zip(self.stage_names, (self.task_stages[step] == 1).tolist(), strict=True))

    @property
    def intervention_share(self) -> float:
        return intervention_share(self.sources)

    @property
    def facts(self) -> StepFacts:
        """Facts for label rules, actions scaled to -1..1."""
        facts = StepFacts.of(self.contract.action, self.policy_actions, self.human_actions, self.task_remaining)
        return replace(facts, resting=self.resting)

    @property
    def resting(self) -> np.ndarray:
        """Steps in which the operator in control lets go: bool (T,)."""
        return resting_steps(self.sources, self.human_actions, self.executed_actions)

    def rest_steps_left_out(self, rule: LabelRule) -> int:
        """Human steps of a long rest, which `rule` does not take for corrections; none of a demonstration."""
        if self.info.kind == EpisodeKind.DEMONSTRATION:
            return 0
        return sum(end - start for start, end in long_rests(self.resting, rule))

    def undesirable_windows(self, rule: LabelRule) -> list[Window]:
        """The window of undesirable steps before each takeover under `rule`."""
        return undesirable_windows(self.sources, self.contract.rate_hz, rule, self.info.kind, self.facts)

    def labels(self, rule: LabelRule) -> list[StepLabel]:
        """Preference labels of the steps under `rule`."""
        return derive_labels(
            self.sources, self.outcome.outcome, self.contract.rate_hz, rule, self.info.kind, self.facts
        )
