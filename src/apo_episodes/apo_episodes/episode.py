"""One episode in memory: recorded facts, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from apo_core.contract.contract import Contract
from apo_core.types import ControlSource, EpisodeInfo, EpisodeOutcome, StepLabel
from apo_episodes.hdf5.schema import SCHEMA_MINOR, SCHEMA_VERSION
from apo_episodes.labeling import LabelRule, derive_labels, intervention_share, takeovers, undesirable_windows
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
    rejections: Mapping[str, int] = field(default_factory=dict)  # {why: steps that did not fit the contract}
    schema_version: int = SCHEMA_VERSION
    image_compression: str = ""  # empty in version 1
    schema_minor: int = SCHEMA_MINOR
    policy_tokens: np.ndarray | None = None  # int32 (T, A), -1 where unknown; None: the file has none
    task_remaining: np.ndarray | None = None  # float32 (T,), unit of the task, NaN where unknown; None: as above

    @property
    def num_steps(self) -> int:
        return len(self.sources)

    @cached_property
    def takeovers(self) -> list[int]:
        return takeovers(self.sources)

    @property
    def intervention_share(self) -> float:
        return intervention_share(self.sources)

    @property
    def facts(self) -> StepFacts:
        """Facts for label rules, actions scaled to -1..1."""
        return StepFacts.of(self.contract.action, self.policy_actions, self.human_actions, self.task_remaining)

    def undesirable_windows(self, rule: LabelRule) -> list[Window]:
        """The window of undesirable steps before each takeover under `rule`."""
        return undesirable_windows(self.sources, self.contract.rate_hz, rule, self.info.kind, self.facts)

    def labels(self, rule: LabelRule) -> list[StepLabel]:
        """Preference labels of the steps under `rule`."""
        return derive_labels(
            self.sources, self.outcome.outcome, self.contract.rate_hz, rule, self.info.kind, self.facts
        )
