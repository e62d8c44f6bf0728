"""Decides when an operator's sample is published. Pure; steady time is passed in, nanoseconds."""

from __future__ import annotations

import dataclasses

import numpy as np

from apo_core.actions import SIZE
from apo_core.types import OperatorEvent
from apo_teleop.devices.mapping import OperatorSample

NO_OPERATOR = OperatorSample(False, False, np.zeros(SIZE, np.float32))


class OperatorPublication:
    """The newest sample of a device; each change goes out once, and a heartbeat in between.

    A disabled operator never acts; only an emergency stop still counts. A device that is held while the operator is
    enabled acts once it has been at rest.
    """

    def __init__(self, heartbeat_ns: int):
        self.enabled = True
        self._must_rest = False
        self._heartbeat_ns = heartbeat_ns
        self._newest = NO_OPERATOR
        self._changed = False
        self._sent_ns: int | None = None

    def enable(self, enabled: bool) -> None:
        """Whether the operator may act; goes out at once."""
        self._must_rest |= enabled and not self.enabled and self._newest.active
        self.enabled, self._changed = enabled, True

    def put(self, sample: OperatorSample) -> None:
        """Stores a sample; events of an unsent one before it are kept."""
        before, self._newest = self._newest, dataclasses.replace(sample, events=(*self._newest.events, *sample.events))
        self._must_rest &= sample.active
        self._changed = self._changed or bool(self._newest.events) or not _is_same(before, sample)

    def take(self, steady_ns: int) -> OperatorSample | None:
        """The sample to publish now, or None when nothing has changed and the heartbeat is not due.

        A change carries its own stamp. A heartbeat confirms it: it carries the time of the poll.
        """
        if self._changed:
            return self.take_always(steady_ns)
        quiet = self._sent_ns is not None and steady_ns - self._sent_ns < self._heartbeat_ns
        return None if quiet else dataclasses.replace(self.take_always(steady_ns), stamp_ns=steady_ns)

    def take_always(self, steady_ns: int) -> OperatorSample:
        """The sample, changed or not; its events are given out once."""
        sample = self._newest
        self._newest = dataclasses.replace(sample, events=())
        self._changed, self._sent_ns = False, steady_ns
        return sample if self.enabled and not self._must_rest else _disabled(sample)


def _is_same(before: OperatorSample, after: OperatorSample) -> bool:
    state = (before.connected, before.active) == (after.connected, after.active)
    return state and np.array_equal(before.values, after.values)


def _disabled(sample: OperatorSample) -> OperatorSample:
    """The sample of an operator who may not act."""
    events = tuple(event for event in sample.events if event == OperatorEvent.ESTOP)
    return OperatorSample(sample.connected, False, np.zeros(SIZE, np.float32), events, sample.stamp_ns)
