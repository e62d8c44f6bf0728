"""How sure a policy is of a chunk, and when it asks its operator for help. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apo_core.types import ActionChunk

UNKNOWN = float("nan")


@dataclass(frozen=True, slots=True)
class Doubt:
    """What the policy thinks of a chunk; means over the rows that are executed before the next one."""

    observation_stamp_ns: int
    log_prob: float  # nats a row
    entropy: float  # nats a row; NaN: the policy has none
    help_wanted: bool
    adapter_version: int


class HelpRequest:
    """Asks for help while the entropy stays above a threshold.

    Args:
        threshold: nats a row; 0 never asks.
        chunks: predictions in a row above the threshold before help is asked for; one below it ends the request.
        rows: of a chunk that are executed.
    """

    def __init__(self, threshold: float, chunks: int, rows: int):
        self._threshold, self._chunks, self._rows = threshold, chunks, rows
        self._above = 0

    def judge(self, chunk: ActionChunk) -> Doubt:
        """The doubt of a new chunk."""
        entropy = UNKNOWN if chunk.entropies is None else float(np.mean(chunk.entropies[: self._rows]))
        self._above = self._above + 1 if self._threshold > 0 and entropy > self._threshold else 0
        return Doubt(
            chunk.observation_stamp_ns,
            float(np.mean(chunk.log_probs[: self._rows])),
            entropy,
            self._above >= self._chunks,
            chunk.adapter_version,
        )

    def reset(self) -> None:
        """Takes a request back: whatever was asked about is over."""
        self._above = 0
