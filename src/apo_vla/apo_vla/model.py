"""Interfaces of a model family: the model, the preparation of its inputs, the meaning of its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, cast

import numpy as np
import torch
from tokenizers import Tokenizer

from apo_vla.actions.classes import ActionClasses
from apo_vla.actions.codec import ActionCodec
from apo_vla.decoding.static import StaticDecoder
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import ActionLikelihood


class Statistics(Protocol):
    """What normalises actions and state."""

    @property
    def contract_sha256(self) -> str:
        """Contract of the robot that the policy drives."""

    @property
    def converts_units(self) -> bool:
        """Whether the training data had units of their own, which a deployment.yaml converts."""

    def codec(self, bins: int) -> ActionCodec:
        """Actions in contract units <-> bins."""

    def normalise_state(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """{state key: (n_key,)} -> float32 (n,). Raises ObservationError."""


class Processor(Protocol):
    """Observations -> inputs of a model; its outputs -> actions. numpy only."""

    def images(self, views: Mapping[str, np.ndarray], rng: np.random.Generator | None) -> np.ndarray:
        """{camera: uint8 (H, W, 3)} -> float32 (cameras, C, S, S); augmented when `rng` is given.

        Raises:
            ObservationError: a camera is missing or its image has another shape or type.
        """

    def state(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """{state key: (n_key,)} -> float32 (n,), normalised; n may be 0. Raises ObservationError."""

    def prompt(self, text: str, state: np.ndarray) -> np.ndarray:
        """Instruction and normalised state (n,) -> int64 (P,). Raises ObservationError."""

    def actions(self, tokens: np.ndarray) -> np.ndarray:
        """One row (L,) of `VlaModel.generate` -> float32 (chunk, A), contract units. Raises DecodeError."""

    def row_log_probs(self, log_probs: np.ndarray) -> np.ndarray:
        """Log-probabilities (L,) of tokens -> float32 (chunk,) of the rows; their sum stays the same."""


class ModelConfig(Protocol):
    """The part of a model's configuration that every family has."""

    cameras: tuple[str, ...]  # contract names, in the order of the model's images
    state_size: int  # numbers of state; 0 for none
    action_size: int
    chunk: int  # rows predicted from one observation
    period_ns: int  # between the rows of a chunk
    bins: int  # action tokens a dimension


@dataclass(frozen=True, slots=True)
class ModelCapabilities:
    """What serving may use of a model beyond `VlaModel`."""

    decodes_tokens: bool = False  # it is a `DecodingModel`
    decoder_fault: str = ""  # why it decodes no tokens although its family does
    separate_cameras: bool = False  # it is a `SeparateCameras`
    takes_rows: bool = False  # it is a `GuidedModel`


class VlaModel(Protocol):
    """A torch module that acts.

    LoRA goes into its language model, which is a module named `language_model`, or into layers that are chosen by name.
    """

    config: ModelConfig
    capabilities: ModelCapabilities
    classes: ActionClasses | None  # which tokens are one action, as the policy's statistics have it; None: unknown

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """See torch.nn.Module."""

    def train(self, mode: bool = True) -> Self:
        """See torch.nn.Module."""

    def eval(self) -> Self:
        """See torch.nn.Module."""

    def parameters(self) -> Iterator[torch.Tensor]:
        """See torch.nn.Module."""

    def named_parameters(self) -> Iterator[tuple[str, torch.Tensor]]:
        """See torch.nn.Module."""

    def make_processor(self, tokenizer: Tokenizer, statistics: Statistics) -> Processor:
        """The family's preparation of inputs and reading of outputs."""

    def make_likelihood(
        self, codec: ActionCodec, settings: LikelihoodSettings, device: torch.device | str
    ) -> ActionLikelihood:
        """How actions are scored under this model; `codec` is that of the statistics."""

    def features(self, images: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Everything before the language model, (B, N, d): may be kept while the base model and, where an adapter
        reaches it (`lora.reaches_features`), the adapter stay."""

    def generate(self, features: torch.Tensor, prompt_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Greedy tokens int64 (B, L) and float32 log-probabilities (B, L), nats.

        A continuous head returns float32 normalised actions and zeros.
        """


class TokenModel(VlaModel, Protocol):
    """A model that puts actions out as tokens."""

    def action_logits(
        self, features: torch.Tensor, prompt_ids: torch.Tensor, action_tokens: torch.Tensor
    ) -> torch.Tensor:
        """Teacher-forced float32 (B, L, bins); token i is predicted from tokens before i."""

    def completion_logits(
        self,
        features: torch.Tensor,
        prompt_ids: torch.Tensor,
        action_tokens: torch.Tensor,
        rows: Sequence[int] = (),
        other_tokens: torch.Tensor | None = None,
        checkpointing: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """For training: `action_logits`, and without gradient those of other actions after the same observations.

        Args:
            features, prompt_ids, action_tokens: see `action_logits`.
            rows: R rows of the batch that have another action.
            other_tokens: int64 (R, L), teacher-forced in place of the row's own action.
            checkpointing: saves memory in the backward pass for the price of a second forward pass.

        Returns:
            float32 (B, L, bins) and (R, L, bins).
        """


class DecodingModel(TokenModel, Protocol):
    """A model with `capabilities.decodes_tokens`."""

    decoder: StaticDecoder  # of its language model

    def prefix_of_one(self, features: torch.Tensor, prompt_ids: torch.Tensor) -> torch.Tensor:
        """Embeddings (1, T, d) of everything before the action tokens, without padding in between."""

    def embedding_rows(self) -> torch.Tensor:
        """Input rows (bins, d) of the action tokens, by bin."""

    def head_rows(self) -> torch.Tensor:
        """Output rows (bins, d) of the action tokens, by bin."""


class SeparateCameras(VlaModel, Protocol):
    """A model with `capabilities.separate_cameras`: features of each camera that do not depend on the others.

    Of any other model the `features` are computed again when one image or the state has changed.
    """

    def camera_tokens(self, camera: int, images: torch.Tensor) -> torch.Tensor:
        """The part of `features` that images (B, C, S, S) of one camera make, (B, n, d)."""

    def join_features(self, tokens: list[torch.Tensor], state: torch.Tensor) -> torch.Tensor:
        """Features (B, N, d) of every camera's tokens and the state (B, n)."""


class GuidedModel(VlaModel, Protocol):
    """A model with `capabilities.takes_rows`: puts out a whole chunk that begins with given rows."""

    def generate(
        self, features: torch.Tensor, prompt_ids: torch.Tensor, committed: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `VlaModel`.

        Args:
            features, prompt_ids: of B observations.
            committed: float32 (B, F, A), normalised, F below the rows of a chunk.
        """


def decoding_model(model: VlaModel) -> DecodingModel | None:
    """The model if it decodes tokens, as its capabilities state; else None."""
    return cast(DecodingModel, model) if model.capabilities.decodes_tokens else None


def separate_cameras(model: VlaModel) -> SeparateCameras | None:
    """The model if it encodes each camera by itself, as its capabilities state; else None."""
    return cast(SeparateCameras, model) if model.capabilities.separate_cameras else None


def guided_model(model: VlaModel) -> GuidedModel | None:
    """The model if it takes rows to begin with, as its capabilities state; else None."""
    return cast(GuidedModel, model) if model.capabilities.takes_rows else None
