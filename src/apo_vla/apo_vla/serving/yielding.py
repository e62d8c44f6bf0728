"""Lets a model that shares the processor with one that serves compute in its pauses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from torch import nn


class YieldToServing:
    """Each call waits until `lock` is free; all calls since `begin` together wait no longer than `patience_s`.

    Args:
        lock: held while the other model computes.
        patience_s: seconds; beyond it both compute at once, so that one that never pauses cannot stop this one.
        clock: seconds, monotonic.
    """

    def __init__(self, lock: threading.RLock, patience_s: float, clock: Callable[[], float] = time.monotonic):
        self._lock, self._patience_s, self._clock = lock, patience_s, clock
        self.begin()

    def begin(self) -> None:
        """Restores all of the patience."""
        self._left_s = self._patience_s

    def __call__(self, *_: object) -> None:
        """Waits; ignores the arguments of a forward hook."""
        if self._left_s <= 0:
            return
        begin_s = self._clock()
        if self._lock.acquire(timeout=self._left_s):
            self._lock.release()
        self._left_s -= self._clock() - begin_s


def yield_in_layers(model: nn.Module, pause: YieldToServing) -> None:
    """Has every layer of a model pause before it computes. A `StaticDecoder` bypasses these: see its `before_layer`.

    A decoder layer pauses before its first norm, which is called wherever the parts of a layer are called one by one.
    """
    for layers in model.modules():
        if isinstance(layers, nn.ModuleList):
            for layer in layers:
                getattr(layer, "input_layernorm", layer).register_forward_pre_hook(pause)
