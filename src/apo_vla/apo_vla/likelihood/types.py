"""Interface between training and the kinds of action heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Encoded:
    """Actions of n rows as a head puts them out, in numpy; L is that head's."""

    outputs: np.ndarray  # (n, L): int64 tokens, or float32 normalised actions
    mask: np.ndarray  # bool (n, L): what counts


@dataclass(frozen=True, slots=True)
class Targets:
    """Actions of n rows that are scored, on the policy's device; a chunk has R rows of A numbers."""

    outputs: Tensor  # (n, L): int64 tokens, or float32 normalised actions
    mask: Tensor  # bool (n, L): what counts
    actions: Tensor  # float32 (n, R * A) the same actions in normalised space
    action_mask: Tensor  # bool (n, R * A): numbers that count
    seeds: Tensor  # int64 (n,): of what is drawn for the observation, the same for every action that it is scored with

    def __len__(self) -> int:
        return len(self.outputs)

    def rows(self, chosen: slice | Sequence[int]) -> Targets:
        """Some of the rows."""
        index = chosen if isinstance(chosen, slice) else list(chosen)
        return Targets(**{spec.name: getattr(self, spec.name)[index] for spec in fields(self)})


@dataclass(frozen=True, slots=True)
class Others:
    """Other actions for the observations of some rows of a batch; R of them, scored without gradient."""

    rows: Sequence[int] = ()  # (R,) ascending
    targets: Targets | None = None  # None where there is none


@dataclass(frozen=True, slots=True)
class Scores:
    """What a forward pass over B rows and R other actions gives."""

    logps: Tensor  # (B,) log pi(a|o), or what stands for it up to a constant; nats
    l1: Tensor  # (B,) mean error of the action that the policy would choose, normalised units, without gradient
    edges: Tensor  # (B,) share of the chosen numbers at an edge of their range, 0..1, without gradient
    other_logps: Tensor  # (R,) log pi(a'|o)


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass: what the model sees, and how it computes."""

    features: Tensor  # (B, N, d)
    prompt_ids: Tensor  # int64 (B, P)
    context: Tensor | None = None  # int64 (B, L) tokens that the next one is predicted from; None: the action's own
    checkpointing: bool = False  # saves memory in the backward pass for the price of a second forward pass
    others: Others = field(default_factory=Others)


class CompletingModel(Protocol):
    """What the likelihoods of tokens use of a model."""

    def completion_logits(
        self,
        features: Tensor,
        prompt_ids: Tensor,
        action_tokens: Tensor,
        rows: Sequence[int] = (),
        other_tokens: Tensor | None = None,
        checkpointing: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """See `apo_vla.model.TokenModel`."""


class ActionLikelihood(Protocol):
    """Scores actions under a policy."""

    name: str  # of the kind, with every setting that its scores depend on
    has_context: bool  # tokens are predicted from those before, which training may disturb
    limit_scale: float  # times limits of log-ratios that are meant for log-probabilities

    def fault(self, chunk: np.ndarray, mask: np.ndarray) -> str:
        """Why actions float32 (R, A), contract units, of which the rows bool (R,) count, cannot be scored; or empty."""

    def encode(self, chunks: np.ndarray, mask: np.ndarray, emitted: Sequence[np.ndarray | None]) -> Encoded:
        """Actions as the head puts them out.

        Args:
            chunks: float32 (n, R, A), contract units.
            mask: bool (n, R), rows that count.
            emitted: of each chunk the tokens int32 (R, A) that the policy emitted for it, -1 unknown; None: it is not
                the policy's own.
        """

    def scores(self, model: Any, seen: Pass, targets: Targets) -> Scores:
        """Scores B rows of a model of this kind; only `logps` has a gradient."""
