"""A switch between TAP devices that loses, delays and withholds frames. A program: other work must not delay frames.

    python -m apo_bringup.chaos.machine.switch --seed 0 --tap 5:a --tap 6:b

Each line of its input is `{"a": {"loss": 0.2, "delay_s": 0.0, "cut": false}}`, the lines of some machines; it answers
each with the number of frames that it has dropped, and ends with its input.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import select
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from apo_core.system.scheduling import raise_priority

PRIORITY = 30  # of SCHED_FIFO; above the nodes, as the hardware of a network is
JITTER = 0.2  # of a delay, at most
_FRAME = 65536
_QUEUE = 20_000  # frames that wait for their time; a switch drops what is more
_BURST = 64  # frames of one device before the next has its turn


@dataclass(frozen=True, slots=True)
class Line:
    """State of the line of one machine, in both directions."""

    loss: float = 0.0  # share of frames
    delay_s: float = 0.0  # and at most the share JITTER of it again
    cut: bool = False


class Switch:
    """Decides on each frame. Pure; time is passed in.

    Args:
        machines: port -> name of the machine behind it.
        seed: of the lost frames and of the jitter.
        send: (port, frame).
    """

    def __init__(self, machines: Mapping[int, str], seed: int, send: Callable[[int, bytes], None]):
        self._machines, self._rng, self._send = dict(machines), random.Random(seed), send
        self._lines: dict[str, Line] = dict.fromkeys(machines.values(), Line())
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self.dropped = 0

    def set(self, lines: Mapping[str, Line]) -> None:
        """Changes the lines of some machines."""
        self._lines |= lines

    def on_frame(self, port: int, frame: bytes, now_s: float) -> None:
        """Each frame is sent to all others: a device drops those for another address."""
        for other, name in self._machines.items():
            if other == port:
                continue
            lines = (self._lines[self._machines[port]], self._lines[name])
            if any(line.cut or (line.loss and self._rng.random() < line.loss) for line in lines):
                self.dropped += 1
                continue
            delay_s = sum(line.delay_s * self._rng.uniform(1.0, 1.0 + JITTER) for line in lines if line.delay_s)
            if not delay_s:
                self._send(other, frame)
            elif len(self._waiting) < _QUEUE:
                self._count += 1
                heapq.heappush(self._waiting, (now_s + delay_s, self._count, other, frame))
            else:
                self.dropped += 1

    def advance(self, now_s: float) -> float | None:
        """Sends what is due; s until the next frame is, None: none waits."""
        while self._waiting and self._waiting[0][0] <= now_s:
            _, _, port, frame = heapq.heappop(self._waiting)
            self._send(port, frame)
        return self._waiting[0][0] - now_s if self._waiting else None


def _send(tap: int, frame: bytes) -> None:
    try:
        os.write(tap, frame)
    except OSError:  # its device is down, or its queue is full
        return


def _pass_frames(switch: Switch, tap: int) -> None:
    for _ in range(_BURST):
        try:
            frame = os.read(tap, _FRAME)
        except OSError:
            return
        switch.on_frame(tap, frame, time.monotonic())


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True, help="of the lost frames and of the jitter")
    parser.add_argument("--tap", action="append", default=[], help="an open device and its machine: NUMBER:NAME")
    arguments = parser.parse_args()
    machines = {int(number): name for number, _, name in (tap.partition(":") for tap in arguments.tap)}
    raise_priority(PRIORITY)
    switch, taps, requests = Switch(machines, arguments.seed, _send), list(machines), sys.stdin.fileno()
    pending = b""
    while True:
        due_s = switch.advance(time.monotonic())
        ready, _, _ = select.select([requests, *taps], [], [], due_s)
        for source in ready:
            if source != requests:
                _pass_frames(switch, source)
                continue
            if not (data := os.read(requests, 65536)):
                return
            *whole, pending = (pending + data).split(b"\n")
            for request in whole:
                switch.set({name: Line(**line) for name, line in json.loads(request).items()})
                print(switch.dropped, flush=True)


if __name__ == "__main__":
    main()
