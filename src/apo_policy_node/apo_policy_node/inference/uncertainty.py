"""How uncertain a policy is of a chunk, and when it requests help from its operator. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from apo_core.types import ActionChunk

UNKNOWN = float("nan")
NO_STATE: Mapping[str, np.ndarray] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """The uncertainty of one chunk; means over the rows that are executed before the next one."""

    observation_stamp_ns: int
    log_prob: float  # nats a row
    entropy: float  # nats a row; NaN: the policy has none
    help_wanted: bool
    adapter_version: int
    reason: str = ""  # for people: what help is requested by
    score: float = UNKNOWN  # log odds of a takeover or failure; NaN: not calibrated


class HelpRequest:
    """Requests help while the entropy stays above a threshold.

    Args:
        threshold: nats a row; 0 never requests help.
        chunks: predictions in a row above the threshold before help is requested; one below it ends the request.
        rows: of a chunk that are executed.
    """

    def __init__(self, threshold: float, chunks: int, rows: int):
        self._threshold, self._chunks, self._rows = threshold, chunks, rows
        self._above = 0

    def evaluate(
        self, chunk: ActionChunk, state: Mapping[str, np.ndarray] = NO_STATE, continued: bool = False
    ) -> Uncertainty:
        """The uncertainty of a new chunk, which counts towards a request; the entropy needs no more than the chunk."""
        entropy = UNKNOWN if chunk.entropies is None else float(np.mean(chunk.entropies[: self._rows]))
        self._above = self._above + 1 if self._threshold > 0 and entropy > self._threshold else 0
        return Uncertainty(
            chunk.observation_stamp_ns,
            float(np.mean(chunk.log_probs[: self._rows])),
            entropy,
            self._above >= self._chunks,
            chunk.adapter_version,
            f"{entropy:.2f} nats",
        )

    def reset(self) -> None:
        """Ends a request: the situation that caused it is over."""
        self._above = 0
