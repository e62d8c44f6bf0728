"""What the policy node asks of a policy that it serves. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from apo_core.contract.action_range import DataRange
from apo_core.types import ActionChunk, Observation


@dataclass(frozen=True, slots=True)
class PolicyCapabilities:
    """What a policy can do beyond whole chunks."""

    committed_rows: bool  # `predict` takes the rows that a chunk begins with
    entropies: bool  # its chunks have entropies


class ServedPolicy(Protocol):
    """A policy whose adapter is exchanged while it serves; `swap` and `use_base` wait for the inference in progress.

    `apo_vla.serving.policy.ServingPolicy` is one.
    """

    @property
    def base_sha256(self) -> str:
        """Hash of the base model's weights."""

    @property
    def statistics_sha256(self) -> str:
        """Hash of the statistics that normalise actions and state."""

    @property
    def contract_sha256(self) -> str:
        """Contract of the data that the policy was trained on; empty: unknown."""

    @property
    def data_range(self) -> DataRange | None:
        """Of the training data's actions; None where they had the units of the contract."""

    @property
    def chunk(self) -> int:
        """Rows of an action chunk."""

    @property
    def capabilities(self) -> PolicyCapabilities:
        """What it can do beyond whole chunks."""

    @property
    def adapter_version(self) -> int:
        """Adapter that serves; 0 is the base policy."""

    def predict(
        self, observation: Observation, committed: np.ndarray | None = None, rows: int | None = None
    ) -> ActionChunk:
        """A chunk computed from one observation.

        Args:
            observation: of the contract.
            committed: float32 (n, A), contract units, rows that the chunk begins with; None, or without
                `capabilities.committed_rows`: no rows.
            rows: length of the chunk, above n; None: all rows.

        Raises:
            ObservationError, DecodeError, ValueError: there is no chunk for this.
        """

    def stage(self, tensors: Mapping[str, np.ndarray]) -> Any:
        """Verifies an adapter's tensors against the model without changing it, for `swap`. Raises AdapterError."""

    def swap(self, staged: Any, version: int) -> None:
        """Serves what `stage` returned as adapter `version` from the next prediction on. Raises AdapterError."""

    def use_base(self) -> None:
        """Serves the base policy (version 0) from the next prediction on."""

    def second_slot(self) -> ServedPolicy:
        """The same base model with an adapter slot of its own."""
