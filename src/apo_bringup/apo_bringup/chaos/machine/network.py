"""Machines of their own for some nodes: network namespaces whose only way to each other is a switch in Python.

Nothing leaves the machine: the switch connects the namespaces alone. Needs root, `ip` and /dev/net/tun, and no module
of the kernel that loses or delays packets.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TUNSETIFF, _TAP_WITHOUT_INFO = 0x400454CA, 0x0002 | 0x1000
_FRAME = 65536
_MTU = 9000
_QUEUE = 20_000  # frames that wait for their time; a switch drops what is more


def missing() -> str:
    """What the machines need and this one lacks; empty: nothing."""
    if os.geteuid() != 0:
        return "root"
    lacking = [] if shutil.which("ip") else ["ip"]
    lacking += [] if Path("/dev/net/tun").exists() else ["/dev/net/tun"]
    return ", ".join(lacking)


@dataclass(frozen=True, slots=True)
class Line:
    """State of the line of one machine, in both directions."""

    loss: float = 0.0  # share of frames
    delay_s: float = 0.0  # with as much again of jitter at most a fifth
    cut: bool = False


class Network:
    """Namespaces and the switch between them.

    Args:
        names: of the machines.
        seed: of the lost frames and of the jitter.
    """

    def __init__(self, names: tuple[str, ...], seed: int):
        self._names, self._rng = names, random.Random(seed)
        self._prefix = f"apo{os.getpid()}"
        self._lines: dict[str, Line] = dict.fromkeys(names, Line())
        self._taps: dict[int, str] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def command(self, name: str) -> list[str]:
        """What stands before a program to run it on a machine."""
        return ["ip", "netns", "exec", self._namespace(name)]

    def start(self) -> None:
        """Makes the namespaces and begins to pass frames on.

        Raises:
            OSError: a step failed; what was made is removed.
        """
        try:
            for number, name in enumerate(self._names):
                space, device = self._namespace(name), f"{self._prefix}t{number}"
                tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                self._taps[tap] = name
                fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH", device.encode(), _TAP_WITHOUT_INFO))
                _ip("netns", "add", space)
                _ip("link", "set", device, "netns", space)
                _ip("-n", space, "link", "set", "lo", "up")
                _ip("-n", space, "addr", "add", f"10.99.0.{number + 1}/24", "dev", device)
                _ip("-n", space, "link", "set", device, "mtu", str(_MTU), "up")
                _ip("-n", space, "route", "add", "224.0.0.0/4", "dev", device)
        except OSError:
            self.close()
            raise
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def set(self, lines: Mapping[str, Line]) -> None:
        """Changes the lines of some machines."""
        self._lines |= lines

    def close(self) -> None:
        """Removes everything."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for tap in self._taps:
            os.close(tap)
        for name in self._names:
            subprocess.run(["ip", "netns", "del", self._namespace(name)], capture_output=True, check=False)

    def _namespace(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def _run(self) -> None:
        waiting: list[tuple[float, int, int, bytes]] = []
        count, taps = 0, list(self._taps)
        while not self._stop.is_set():
            due_s = waiting[0][0] - time.monotonic() if waiting else 0.2
            ready, _, _ = select.select(taps, [], [], min(0.2, max(0.0, due_s)))
            for tap in ready:
                for _ in range(64):
                    try:
                        frame = os.read(tap, _FRAME)
                    except OSError:
                        break
                    for other in taps:
                        if other != tap:
                            count += 1
                            self._pass(self._taps[tap], other, frame, waiting, count)
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                _, _, other, frame = heapq.heappop(waiting)
                self._send(other, frame)

    def _pass(self, source: str, tap: int, frame: bytes, waiting: list, count: int) -> None:
        """Each frame is sent to all: a device drops those for another address."""
        lines = (self._lines[source], self._lines[self._taps[tap]])
        if any(line.cut or (line.loss and self._rng.random() < line.loss) for line in lines):
            self.dropped += 1
            return
        delay_s = sum(line.delay_s * self._rng.uniform(1.0, 1.2) for line in lines if line.delay_s)
        if not delay_s:
            self._send(tap, frame)
        elif len(waiting) < _QUEUE:
            heapq.heappush(waiting, (time.monotonic() + delay_s, count, tap, frame))

    @staticmethod
    def _send(tap: int, frame: bytes) -> None:
        try:
            os.write(tap, frame)
        except OSError:  # its device is down, or its queue is full
            return


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
