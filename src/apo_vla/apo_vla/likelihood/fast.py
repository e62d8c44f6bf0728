"""FAST (arXiv 2501.09747): the log-probability of a chunk's tokens, whose number differs from chunk to chunk.

A token belongs to no single number. A chunk is therefore scored as a whole: rows after its cut repeat the last one that
counts, as openpi's loader does at the end of an episode.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from apo_core.errors import DecodeError
from apo_vla.actions.codec import ActionCodec
from apo_vla.actions.fast_tokenizer import FastTokenizer
from apo_vla.likelihood.sequence import sequence_logps
from apo_vla.likelihood.types import CompletingModel, Encoded, Pass, Scores, Targets

_UNDECODABLE = 1.0  # error of a chunk whose likeliest tokens are no action: that of the middle of the range


class FastLikelihood:
    """See `ActionLikelihood`; L is the longest of the chunks, the end token of each included.

    Args:
        codec: normalises the actions.
        fast: of the checkpoint.
        rows: R of a chunk.
        largest: tokens of a chunk at most, the end included.
    """

    has_context = False
    limit_scale = 1.0

    def __init__(self, codec: ActionCodec, fast: FastTokenizer, rows: int, largest: int):
        self.name = "FAST tokens"
        self._codec, self._fast, self._rows, self._largest = codec, fast, rows, largest

    def fault(self, chunk: np.ndarray, mask: np.ndarray) -> str:
        """A chunk outside the tokenizer's alphabet, or with more tokens than the policy may put out."""
        try:
            count = len(self._tokens(chunk))
        except DecodeError as error:
            return str(error)
        return f"a chunk makes {count} tokens, the policy at most {self._largest}" if count > self._largest else ""

    def encode(self, chunks: np.ndarray, mask: np.ndarray, emitted: Sequence[np.ndarray | None]) -> Encoded:
        """Tokens of each chunk and its end, filled with ends. Raises DecodeError: see `fault`."""
        tokens = [self._tokens(chunk) for chunk in chunks]
        length = max(map(len, tokens), default=1)
        filled = np.full((len(chunks), length), self._fast.vocabulary, np.int64)
        counted = np.zeros((len(chunks), length), bool)
        for row, own in enumerate(tokens):
            filled[row, : len(own)], counted[row, : len(own)] = own, True
        return Encoded(filled, counted)

    def _tokens(self, chunk: np.ndarray) -> np.ndarray:
        return np.append(self._fast.encode(self._codec.normalise(chunk)), self._fast.vocabulary)

    def scores(self, model: CompletingModel, seen: Pass, targets: Targets) -> Scores:
        """One pass for the rows, one for the other actions."""
        others = seen.others
        logits, other_logits = model.completion_logits(
            seen.features,
            seen.prompt_ids,
            targets.outputs,
            others.rows,
            None if others.targets is None else others.targets.outputs,
            seen.checkpointing,
        )
        return Scores(
            logps=_logps(logits, targets),
            l1=self._errors(logits.detach().argmax(-1), targets),
            edges=torch.zeros(len(targets), device=logits.device),
            other_logps=_logps(other_logits, others.targets) if others.targets else other_logits.new_zeros(0),
        )

    def _errors(self, likeliest: Tensor, targets: Targets) -> Tensor:
        """Of the likeliest tokens after the recorded ones, decoded together."""
        errors = []
        for tokens, own, mask in zip(
            likeliest.cpu().numpy(), targets.actions.cpu().numpy(), targets.action_mask.cpu().numpy(), strict=True
        ):
            ends = np.flatnonzero(tokens == self._fast.vocabulary)
            try:
                decoded = self._fast.decode(tokens[: ends[0] if len(ends) else None], self._rows, self._codec.size)
                error = np.abs(np.clip(decoded, -1, 1).ravel() - own)
            except DecodeError:
                error = np.full(own.shape, _UNDECODABLE)
            errors.append(float((error * mask).sum() / max(mask.sum(), 1)))
        return torch.tensor(errors, dtype=torch.float32, device=likeliest.device)


def _logps(logits: Tensor, targets: Targets) -> Tensor:
    return sequence_logps(logits, targets.outputs, targets.mask)
