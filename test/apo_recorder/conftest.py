"""Commands as the arbiter sends them, and a writer in memory that holds its caller to the contract."""

from collections.abc import Callable

import numpy as np
import pytest

from apo_core.types import ControlSource, ExecutedCommand

PERIOD_NS = 100_000_000


class MemoryWriter:
    """Keeps what a writer is given; rejects work out of order."""

    def __init__(self):
        self.infos, self.steps, self.ends = [], [], []
        self.has_room, self.undone = True, 0
        self._open = False

    def begin(self, info) -> None:
        assert not self._open
        self._open = True
        self.infos.append(info)
        self.steps.append([])

    def append(self, step) -> bool:
        assert self._open
        if self.has_room:
            self.steps[-1].append(step)
        return self.has_room

    def end(self, end) -> None:
        assert self._open
        self._open = False
        self.ends.append(end)

    def undo(self) -> None:
        self.undone += 1


@pytest.fixture
def writer() -> MemoryWriter:
    return MemoryWriter()


@pytest.fixture
def make_command() -> Callable[..., ExecutedCommand]:
    """(tick) -> the command of a tick; by default stamps and arrival are tick * 100 ms."""

    def make(tick: int, observation_ns: int | None = None, **changes) -> ExecutedCommand:
        stamp_ns = tick * PERIOD_NS
        fields = {
            "tick": tick,
            "stamp_ns": stamp_ns,
            "observation_stamp_ns": stamp_ns if observation_ns is None else observation_ns,
            "chunk_stamp_ns": stamp_ns,
            "receive_ns": stamp_ns,
            "action": np.full(7, tick / 1000, np.float32),
            "policy_action": np.zeros(7, np.float32),
            "human_action": None,
            "source": ControlSource.POLICY,
            "reason": "policy_in_control",
            "adapter_version": 1,
        }
        return ExecutedCommand(**{**fields, **changes})

    return make
