"""Training samples: one observation with the chunk of actions that followed it, and its class. No torch."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apo_core.errors import ApoError
from apo_core.types import EpisodeKind, Observation, Outcome


class TrainingDataError(ApoError):
    """There is nothing to train on."""


class SampleClass(enum.StrEnum):
    """What a batch is balanced over."""

    EXPERT = "EXPERT"  # a step of a demonstration
    POLICY = "POLICY"  # desirable policy step of an interaction
    HUMAN = "HUMAN"  # operator's step of an interaction
    UNDESIRABLE = "UNDESIRABLE"  # policy step shortly before a takeover


POLICY_CLASSES = (SampleClass.POLICY, SampleClass.UNDESIRABLE)  # whose action is the policy's own


@dataclass(frozen=True, slots=True)
class EpisodeData:
    """An episode as training sees it; T steps. Images stay in the file."""

    path: Path
    episode_id: str
    fingerprint: str  # hex, of what happened: the same in a repeated run, whose ids hold other times
    kind: EpisodeKind
    instruction: str
    state: Mapping[str, np.ndarray]  # {key: float32 (T, n)}
    stamps_ns: np.ndarray  # int64 (T,)
    targets: np.ndarray  # float32 (T, A): the operator's action where a person drove, else the policy's own
    policy_actions: np.ndarray  # float32 (T, A): the policy's own, also while a person drove; NaN where it had none
    classes: tuple[SampleClass | None, ...]  # (T,) None: not used
    adapter_versions: np.ndarray  # uint32 (T,): adapter behind the policy's action
    rows: np.ndarray  # int64 (T,): rows from each step on that belong to its chunk, 0 where it is not used
    policy_tokens: np.ndarray | None = None  # int32 (T, A): emitted for policy_actions, -1 unknown; None: not recorded
    outcome: Outcome = Outcome.UNLABELED
    robot: str = ""  # that recorded it; empty: unknown

    @property
    def is_own_success(self) -> bool:
        """Whether the policy succeeded without a takeover."""
        alone = self.kind == EpisodeKind.INTERACTION and SampleClass.HUMAN not in self.classes
        return alone and self.outcome == Outcome.SUCCESS


@dataclass(frozen=True, slots=True)
class Sample:
    """One observation with the chunk of actions that followed it."""

    episode: EpisodeData
    step: int
    sample_class: SampleClass

    @property
    def key(self) -> str:
        return f"{self.episode.fingerprint}:{self.step}"

    @property
    def desirable(self) -> bool:
        return self.sample_class is not SampleClass.UNDESIRABLE

    def observation(self, images: Mapping[str, np.ndarray]) -> Observation:
        """What the policy saw; `images` are the step's frames, {camera: (H, W, C)}, which stay in the file."""
        state = {name: values[self.step] for name, values in self.episode.state.items()}
        return Observation(int(self.episode.stamps_ns[self.step]), dict(images), state, self.episode.instruction)

    def chunk(self, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Actions float32 (horizon, A) and mask bool (horizon,); rows after the cut repeat the last action."""
        return self.episode.targets[self.chunk_steps(horizon)], np.arange(horizon) < self.episode.rows[self.step]

    def chunk_steps(self, horizon: int) -> np.ndarray:
        """The step behind each row of the chunk, int64 (horizon,); rows after the cut repeat the last one."""
        return np.minimum(np.arange(horizon), int(self.episode.rows[self.step]) - 1) + self.step

    def emitted_tokens(self, horizon: int) -> np.ndarray | None:
        """The policy's tokens for `chunk`, int32 (horizon, A), -1 unknown; None where the action is not its own."""
        tokens = self.episode.policy_tokens
        if tokens is None or self.sample_class not in POLICY_CLASSES:
            return None
        return tokens[self.chunk_steps(horizon)]
