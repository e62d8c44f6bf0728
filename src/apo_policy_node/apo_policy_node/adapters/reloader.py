"""Exchanges the adapter of a policy that serves: verify, stage, try beside it, swap between inferences.

It reads the store's files; no ROS, and no clock of its own."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from apo_core import policy_probe
from apo_core.adapters.manifest import EMITTED, AdapterVersion
from apo_core.adapters.promotion import Promotion
from apo_core.adapters.store import AdapterStore
from apo_core.contract.contract import Contract
from apo_core.errors import AdapterError
from apo_core.served_policy import ServedPolicy
from apo_core.types import Observation
from apo_policy_node.inference.chunk_check import chunk_fault


class ReloadState(enum.StrEnum):
    """How a request for an adapter ended."""

    LOADED = "LOADED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """The end of a request for an adapter."""

    state: ReloadState
    version: int  # served now; 0 is the base policy
    requested_version: int
    reason: str  # empty, why it was rejected, or what is wrong with the one that was loaded
    stage_ms: float  # verifying and staging, beside the inference
    swap_ms: float  # copying into the policy, between two inferences


@dataclass(frozen=True, slots=True)
class StagedAdapter:
    """A verified adapter that waits for its swap."""

    version: int
    tensors: Any  # what policy.stage returned; None for the base policy
    stage_ms: float
    warning: str = ""  # what is wrong with it, though it can serve


class AdapterReloader:
    """Verifies adapters in one thread (`stage`), puts them in between two inferences in another (`swap`).

    A rejected adapter leaves the policy untouched: it is tried in the second slot first.

    Args:
        policy: serves.
        second: the policy's base model with an adapter slot of its own; never serves, not used by anybody else.
        store: where adapters come from.
        contract: of the robot at hand.
        instruction: of the self-test.
        check_config: raises AdapterError when an adapter_config.json does not fit the policy (rank, scale, targets).
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        policy: ServedPolicy,
        second: ServedPolicy,
        store: AdapterStore,
        contract: Contract,
        instruction: str,
        check_config: Callable[[Mapping[str, Any]], None],
        clock: Callable[[], float],
    ):
        self._policy, self._second, self._store = policy, second, store
        self._contract, self._instruction = contract, instruction
        self._check_config, self._clock = check_config, clock
        self._serving = StagedAdapter(0, None, 0.0)
        self._previous: StagedAdapter | None = None
        self._considered = Promotion()  # the last one that was followed, or passed over by a request

    @property
    def warning(self) -> str:
        """What is wrong with the adapter that serves; empty if nothing is."""
        return self._serving.warning

    @property
    def serving(self) -> StagedAdapter:
        """What serves, or will once the swap that waits is done."""
        return self._serving

    def first_action(self, observation: Observation) -> np.ndarray:
        """The action (A,), contract units, of the adapter staged last, in the second slot.

        Raises:
            AdapterError: it has none for this observation.
        """
        try:
            chunk = self._second.predict(observation)
        except Exception as error:  # whatever goes wrong in a model
            raise AdapterError(f"inference failed: {type(error).__name__}: {error}") from error
        if fault := chunk_fault(chunk, observation.stamp_ns, self._contract):
            raise AdapterError(fault)
        return chunk.values[0]

    def poll(self, promotion: Promotion) -> int | None:
        """The version to load now that `promotion` is in force; None when it was considered before.

        A rejected version is not tried again before it is promoted again.
        """
        if not self._is_new(promotion):
            return None
        self._considered = promotion
        return promotion.number

    def pass_over(self) -> None:
        """Skips the promotion in force: a requested version serves until the next promotion."""
        with contextlib.suppress(AdapterError):  # a store that cannot be read has nothing to follow
            promotion = self._store.promotion()
            self._considered = promotion if self._is_new(promotion) else self._considered

    def _is_new(self, promotion: Promotion) -> bool:
        # a pointer that was deleted counts from the start again
        later = promotion.changed_utc > self._considered.changed_utc
        return promotion.sequence > self._considered.sequence or later

    def stage(self, version: int) -> StagedAdapter | ReloadResult:
        """Verifies an adapter and tries it in the second slot, beside the policy; a rejection comes as the result."""
        begin_s = self._clock()
        try:
            tensors, warning = (None, "") if version == 0 else self._verified(version)
        except Exception as error:  # a request must receive its answer whatever the adapter does
            return self._rejected(version, _reason(error), self._ms_since(begin_s))
        return StagedAdapter(version, tensors, self._ms_since(begin_s), warning)

    def swap(self, staged: StagedAdapter) -> ReloadResult:
        """Serves a staged adapter from the next inference on."""
        begin_s = self._clock()
        try:
            self._put(staged)
        except Exception as error:  # as above
            self._put(self._serving)  # nothing of the other one may stay
            return self._rejected(staged.version, _reason(error), staged.stage_ms)
        swap_ms = self._ms_since(begin_s)
        if staged.version != self._serving.version:  # one that is loaded again is no way back
            self._previous = self._serving
        self._serving = staged
        version, reason = staged.version, staged.warning
        return ReloadResult(ReloadState.LOADED, version, version, reason, staged.stage_ms, swap_ms)

    def roll_back(self) -> ReloadResult:
        """Serves what served before, which is still in memory and verified, from the next inference on."""
        if self._previous is None:
            version = self._policy.adapter_version
            return self._rejected(version, f"nothing has served before version {version} since the start", 0.0)
        return self.swap(self._previous)

    def load(self, version: int) -> ReloadResult:
        """Stages and swaps at once; for a policy that does not serve yet."""
        staged = self.stage(version)
        if isinstance(staged, ReloadResult):
            return staged
        result, self._previous = self.swap(staged), None
        return result

    def _put(self, staged: StagedAdapter) -> None:
        if staged.tensors is None:
            self._policy.use_base()
        else:
            self._policy.swap(staged.tensors, staged.version)

    def _verified(self, version: int) -> tuple[Any, str]:
        """The adapter as the policy staged it, and what is wrong with it."""
        adapter, tensors = self._store.read(version)
        self._check_origin(adapter)
        self._check_config(adapter.adapter_config)
        staged = self._policy.stage(tensors)
        self._second.swap(staged, version)
        faults = policy_probe.faults(self._second.predict, self._contract, self._instruction, adapter.self_test)
        if faults:
            raise AdapterError(f"adapter {version}: {'; '.join(faults)}")
        return staged, _warning(adapter)

    def _check_origin(self, adapter: AdapterVersion) -> None:
        pairs = (
            ("base_model_sha256", adapter.base_model_sha256, self._policy.base_sha256, "the policy's base model"),
            ("statistics_sha256", adapter.statistics_sha256, self._policy.statistics_sha256, "the policy's statistics"),
            ("contract_sha256", adapter.contract_sha256, self._contract.sha256, self._contract.source),
        )
        faults = [
            f"{name} = {found[:12]}... is not that of {whose}, {expected[:12]}..."
            for name, found, expected, whose in pairs
            if found != expected
        ]
        if faults:
            raise AdapterError(f"adapter {adapter.number} belongs elsewhere: {'; '.join(faults)}")

    def _rejected(self, version: int, reason: str, stage_ms: float) -> ReloadResult:
        return ReloadResult(ReloadState.REJECTED, self._policy.adapter_version, version, reason, stage_ms, 0.0)

    def _ms_since(self, begin_s: float) -> float:
        return 1e3 * (self._clock() - begin_s)


def _warning(adapter: AdapterVersion) -> str:
    if adapter.action_labels == EMITTED:
        return ""
    return (
        f"adapter {adapter.number} was trained before saturated actions kept their tokens "
        f"(action_labels = {adapter.action_labels}); train it again"
    )


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, AdapterError) else f"{type(error).__name__}: {error}"
