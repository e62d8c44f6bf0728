"""Requests help by a score that was learned for the adapter that serves. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from apo_core.help.features import HelpFeatures
from apo_core.help.score import HelpScore
from apo_core.types import ActionChunk
from apo_policy_node.inference.uncertainty import NO_STATE, HelpRequest, Uncertainty


class CalibratedHelp(HelpRequest):
    """Requests help while the score is above its threshold; without a score for an adapter, by its entropy.

    Args:
        threshold, chunks, rows: of HelpRequest, for an adapter without a score.
        features: of the policy's contract and rows.
        score_of: the score of an adapter, by number; None: it has none.
    """

    def __init__(
        self,
        threshold: float,
        chunks: int,
        rows: int,
        features: HelpFeatures,
        score_of: Callable[[int], HelpScore | None],
    ):
        super().__init__(threshold, chunks, rows)
        self._features, self._score_of = features, score_of

    def evaluate(
        self, chunk: ActionChunk, state: Mapping[str, np.ndarray] = NO_STATE, continued: bool = False
    ) -> Uncertainty:
        """As HelpRequest; `state` is of the chunk's observation, `continued`: the policy drove since the one before."""
        by_entropy = super().evaluate(chunk)
        features = self._features.add(chunk, state, continued)
        score = self._score_of(chunk.adapter_version)
        if score is None:
            return by_entropy
        value = float(score.score(features))
        reason = f"score {value:.2f}, threshold {score.threshold:.2f}"
        return dataclasses.replace(by_entropy, score=value, help_wanted=score.is_alarm(value), reason=reason)

    def reset(self) -> None:
        """Ends a request, and forgets what was before."""
        super().reset()
        self._features.restart()
