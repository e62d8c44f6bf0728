"""The faults: each is applied to the running stack and undone."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from apo_bringup.chaos import hostile_files
from apo_bringup.chaos.machine.disk import Disk
from apo_bringup.chaos.machine.network import Network
from apo_bringup.chaos.machine.switch import JITTER, Line
from apo_bringup.chaos.schedule import PlannedFault
from apo_bringup.chaos.stack_runner import StackRunner


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What faults act on."""

    stack: StackRunner
    disk: Disk | None
    network: Network | None
    trap: Path  # appears when code from a hostile file has run

    @property
    def adapters(self) -> Path:
        return self.stack.data / "adapters"

    @property
    def episodes(self) -> Path:
        return self.stack.data / "episodes"


class Fault(Protocol):
    """One fault; `apply` raises LookupError where there is nothing to act on, OSError where a tool fails."""

    def apply(self) -> None:
        """Begins it."""

    def undo(self) -> None:
        """Ends it; safe to call twice."""


class Kill:
    """kill -9 of a node."""

    def __init__(self, planned: PlannedFault, around: Surroundings):
        self._node, self._stack = planned.target, around.stack

    def apply(self) -> None:
        os.kill(_pid(self._stack, self._node), signal.SIGKILL)

    def undo(self) -> None:
        """Supervision starts the node again."""


class Stop:
    """SIGSTOP of a node, then SIGCONT."""

    def __init__(self, planned: PlannedFault, around: Surroundings):
        self._node, self._stack, self._pid = planned.target, around.stack, 0

    def apply(self) -> None:
        self._pid = _pid(self._stack, self._node)
        os.kill(self._pid, signal.SIGSTOP)

    def undo(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._pid:
                os.kill(self._pid, signal.SIGCONT)
        self._pid = 0


class Send:
    """Messages of the injector: garbage on a topic, another time on /clock, an emergency stop."""

    def __init__(self, planned: PlannedFault, around: Surroundings):
        self._planned, self._stack = planned, around.stack

    def apply(self) -> None:
        planned = self._planned
        if planned.kind == "estop" and planned.style == "service":
            self._stack.ask({"do": "call", "service": "arbiter/estop"})
            return
        style = "stop" if planned.kind == "estop" else planned.style
        sent = {"topic": planned.target, "style": style, "seed": planned.seed, "duration_s": planned.duration_s}
        self._stack.ask({"do": "send", **sent})

    def undo(self) -> None:
        """The injector ends it by itself."""


class Reader:
    """Nobody reads what the nodes print; `flooded`: while they have much to print."""

    def __init__(self, planned: PlannedFault, around: Surroundings):
        self._planned, self._stack = planned, around.stack

    def apply(self) -> None:
        for output in self._stack.outputs:
            output.reads.clear()
        if self._planned.style == "flooded":
            sent = {"style": "not_finite", "seed": self._planned.seed, "duration_s": self._planned.duration_s}
            self._stack.ask({"do": "send", "topic": "cartesian_command", **sent})

    def undo(self) -> None:
        for output in self._stack.outputs:
            output.reads.set()


class Adapter:
    """A hostile adapter is promoted."""

    def __init__(self, planned: PlannedFault, around: Surroundings):
        self._planned, self._around = planned, around
        self._remove: Callable[[], None] | None = None

    def apply(self) -> None:
        arguments = self._planned.style, self._planned.seed, self._around.trap
        _, self._remove = hostile_files.place_adapter(self._around.adapters, *arguments)

    def undo(self) -> None:
        if self._remove is not None:
            self._remove()
        self._remove = None


class Episode:
    """A hostile episode file lies among the others."""

    def __init__(self, planned: PlannedFault, around: Surroundings):
        self._planned, self._around = planned, around
        self._remove: Callable[[], None] | None = None

    def apply(self) -> None:
        self._remove = hostile_files.place_episode(self._around.episodes, self._planned.style, self._planned.seed)

    def undo(self) -> None:
        if self._remove is not None:
            self._remove()
        self._remove = None


class DiskFault:
    """The episodes' disk is full, or slow."""

    def __init__(self, planned: PlannedFault, around: Surroundings):
        self._kind, self._disk = planned.kind, around.disk

    def apply(self) -> None:
        if self._disk is None:
            raise LookupError("no disk")
        (self._disk.fill if self._kind == "disk_full" else self._disk.slow)()

    def undo(self) -> None:
        if self._disk is not None:
            self._disk.undo()


def largest_delay_s(style: str) -> float:
    """Of a delaying line of this style, its jitter included."""
    return float(style) / 1000 * (1 + JITTER)


class NetworkFault:
    """The line of one machine loses, delays or passes nothing."""

    def __init__(self, planned: PlannedFault, around: Surroundings):
        self._planned, self._network = planned, around.network

    def apply(self) -> None:
        if self._network is None:
            raise LookupError("no machines")
        kind, style = self._planned.kind, self._planned.style
        line = Line(cut=True)
        if kind == "loss":
            line = Line(loss=float(style) / 100)
        elif kind == "delay":
            line = Line(delay_s=float(style) / 1000)
        self._network.set({self._planned.target: line})

    def undo(self) -> None:
        if self._network is not None:
            self._network.set({self._planned.target: Line()})


_CLASSES: dict[str, Callable[[PlannedFault, Surroundings], Fault]] = {
    "kill": Kill,
    "stop": Stop,
    "clock": Send,
    "garbage": Send,
    "estop": Send,
    "reader": Reader,
    "adapter": Adapter,
    "episode": Episode,
    "disk_full": DiskFault,
    "disk_slow": DiskFault,
    "loss": NetworkFault,
    "delay": NetworkFault,
    "partition": NetworkFault,
}


def make_fault(planned: PlannedFault, around: Surroundings) -> Fault:
    """The fault of a schedule's entry."""
    return _CLASSES[planned.kind](planned, around)


def _pid(stack: StackRunner, node: str) -> int:
    """The node's process, waited for: supervision may be about to start it."""
    for _ in range(50):
        pid = stack.pids().get(node)
        if pid:
            return pid
        time.sleep(0.1)
    raise LookupError(f"{node} does not run")
