"""Bins: the log-probability of each number's token after those before it (arXiv 2406.09246)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from apo_vla.actions.codec import ActionCodec
from apo_vla.likelihood.action_tolerance import action_scores
from apo_vla.likelihood.edge_tokens import EdgeTokens
from apo_vla.likelihood.sequence import sequence_logps
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import CompletingModel, Encoded, Pass, Scores, Targets


class BinLikelihood:
    """See `ActionLikelihood`; L = R * A tokens. The likeliest, after the recorded ones, are the policy's action.

    A policy with a `decode_tolerance` serves the centre of the likeliest neighbourhood instead, which may be another
    bin.

    Args:
        codec: of the actions.
        settings: `action_tolerance`.
        device: of the model.
    """

    has_context = True
    limit_scale = 1.0

    def __init__(self, codec: ActionCodec, settings: LikelihoodSettings, device: torch.device | str = "cpu"):
        self.name = f"action classes {settings.action_tolerance:g}"
        self._codec = codec
        self._scores = action_scores(codec, settings.action_tolerance, device)
        self._centres = torch.tensor(codec.centres(np.arange(codec.bins)), dtype=torch.float32, device=device)
        self._edge_tokens = EdgeTokens(codec, device)

    def fault(self, chunk: np.ndarray, mask: np.ndarray) -> str:
        """Every action has bins."""
        return ""

    def encode(self, chunks: np.ndarray, mask: np.ndarray, emitted: Sequence[np.ndarray | None]) -> Encoded:
        """Bins that the policy emitted where they are known and mean the action; else those made from it."""
        tokens = self._codec.encode(chunks)
        for i, own in enumerate(emitted):
            if own is not None:
                agree = self._codec.agree(own, chunks[i])[:, None]
                tokens[i] = np.where(agree, own, tokens[i])
        return Encoded(
            tokens.reshape(len(chunks), mask.shape[1] * self._codec.size), np.repeat(mask, self._codec.size, axis=1)
        )

    def scores(self, model: CompletingModel, seen: Pass, targets: Targets) -> Scores:
        """One pass for the rows and the other actions."""
        others = seen.others
        logits, other_logits = model.completion_logits(
            seen.features,
            seen.prompt_ids,
            targets.outputs if seen.context is None else seen.context,
            others.rows,
            None if others.targets is None else others.targets.outputs,
            seen.checkpointing,
        )
        likeliest = logits.detach().argmax(-1)
        error = (self._centres[likeliest] - targets.actions).abs() * targets.mask
        return Scores(
            logps=self._logps(logits, targets),
            l1=error.sum(-1) / targets.mask.sum(-1).clamp(min=1),
            edges=self._edge_tokens.shares(likeliest, targets.mask),
            other_logps=self._logps(other_logits, others.targets) if others.targets else other_logits.new_zeros(0),
        )

    def _logps(self, logits: Tensor, targets: Targets) -> Tensor:
        return sequence_logps(logits, targets.outputs, targets.mask, self._scores)
