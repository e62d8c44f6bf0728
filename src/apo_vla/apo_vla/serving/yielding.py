"""Lets a model that shares the processor with one that serves compute in its pauses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from torch import nn


class GiveWay:
    """Each call waits until nobody holds `lock`; all calls since `begin` together wait no longer than `patience_s`.

    Args:
        lock: held while the other model computes.
        patience_s: seconds; beyond it both compute at once, so that one that never pauses cannot stop this one.
        clock: seconds, monotonic.
    """

    def __init__(self, lock: threading.RLock, patience_s: float, clock: Callable[[], float] = time.monotonic):
        self._lock, self._patience_s, self._clock = lock, patience_s, clock
        self.begin()

    def begin(self) -> None:
        """Has all its patience again."""
        self._left_s = self._patience_s

    def __call__(self, *_) -> None:
        """Waits; takes and ignores what a forward hook is given."""
        if self._left_s <= 0:
            return
        begin_s = self._clock()
        if self._lock.acquire(timeout=self._left_s):
            self._lock.release()
        self._left_s -= self._clock() - begin_s


def give_way_in(model: nn.Module, give_way: GiveWay) -> None:
    """Has every layer of a model give way before it computes; one with a `decoder` also in there."""
    for layers in model.modules():
        if isinstance(layers, nn.ModuleList):
            for layer in layers:
                layer.register_forward_pre_hook(give_way)
    if hasattr(model, "decoder"):
        model.decoder.before_layer = give_way
