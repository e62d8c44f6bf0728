"""Ends a run early: when the undesirable log-ratio runs away, or z0 has reached its target. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from apo_trainer.config import TrainingConfig


class Guard:
    """Means over the last `guard_window` steps, beside their limits.

    Args:
        config: guard_window, guard_undesirable_nats, target_kl.
    """

    def __init__(self, config: TrainingConfig):
        self._config = config
        self._undesirable: deque[float] = deque(maxlen=config.guard_window)
        self._z0: deque[float] = deque(maxlen=config.guard_window)

    @property
    def undesirable(self) -> tuple[float, ...]:
        """Last undesirable log-ratios, nats, oldest first."""
        return tuple(self._undesirable)

    @property
    def z0(self) -> tuple[float, ...]:
        """Last KL estimates, nats, oldest first."""
        return tuple(self._z0)

    def add(self, undesirable: float | None, z0: float | None) -> None:
        """Takes the values of one step, nats; None where the method or the batch has none."""
        if undesirable is not None:
            self._undesirable.append(undesirable)
        if z0 is not None:
            self._z0.append(z0)

    def restore(self, undesirable: Iterable[float], z0: Iterable[float]) -> None:
        """Adds the windows of an interrupted run."""
        self._undesirable.extend(undesirable)
        self._z0.extend(z0)

    def stop_reason(self) -> str:
        """Why the run must end; empty when it goes on."""
        count = self._config.guard_window
        if len(self._undesirable) == count:
            mean, limit = sum(self._undesirable) / count, self._config.guard_undesirable_nats
            if mean < limit:
                return (
                    f"the undesirable log-ratio fell to {mean:.1f} nats over {count} steps, below "
                    f"guard_undesirable_nats = {limit:g} (config/trainer.yaml)"
                )
        target = self._config.target_kl
        if target and len(self._z0) == count and (kl := sum(self._z0) / count) > target:
            return f"z0 rose to {kl:.2f} nats over {count} steps, above target_kl = {target:g} (config/trainer.yaml)"
        return ""
