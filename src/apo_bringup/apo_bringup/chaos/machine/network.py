"""Machines of their own for some nodes: network namespaces whose only way to each other is a switch in Python.

Nothing leaves the machine: the switch connects the namespaces alone. Needs root, `ip` and /dev/net/tun, and no module
of the kernel that loses or delays packets.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from apo_bringup.chaos.machine import switch
from apo_bringup.chaos.machine.switch import Line

_TUNSETIFF, _TAP_WITHOUT_INFO = 0x400454CA, 0x0002 | 0x1000
_MTU = 9000
_END_S = 10.0


def missing() -> str:
    """What the machines need and this one lacks; empty: nothing."""
    if os.geteuid() != 0:
        return "root"
    lacking = [] if shutil.which("ip") else ["ip"]
    lacking += [] if Path("/dev/net/tun").exists() else ["/dev/net/tun"]
    return ", ".join(lacking)


class Network:
    """Namespaces and the switch between them.

    Args:
        names: of the machines.
        seed: of the lost frames and of the jitter.
    """

    def __init__(self, names: tuple[str, ...], seed: int):
        self._names, self._seed = names, seed
        self._prefix = f"apo{os.getpid()}"
        self._switch: subprocess.Popen[str] | None = None
        self.dropped = 0  # frames, at the newest change of a line

    def command(self, name: str) -> list[str]:
        """What stands before a program to run it on a machine."""
        return ["ip", "netns", "exec", self._namespace(name)]

    def start(self) -> None:
        """Makes the namespaces and begins to pass frames on.

        Raises:
            OSError: a step failed; what was made is removed.
        """
        taps: dict[int, str] = {}
        try:
            for number, name in enumerate(self._names):
                space, device = self._namespace(name), f"{self._prefix}t{number}"
                tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                taps[tap] = name
                fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH", device.encode(), _TAP_WITHOUT_INFO))
                _ip("netns", "add", space)
                _ip("link", "set", device, "netns", space)
                _ip("-n", space, "link", "set", "lo", "up")
                _ip("-n", space, "addr", "add", f"10.99.0.{number + 1}/24", "dev", device)
                _ip("-n", space, "link", "set", device, "mtu", str(_MTU), "up")
                _ip("-n", space, "route", "add", "224.0.0.0/4", "dev", device)
            self._switch = subprocess.Popen(
                [sys.executable, "-m", switch.__name__, "--seed", str(self._seed)]
                + [word for tap, name in taps.items() for word in ("--tap", f"{tap}:{name}")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=tuple(taps),
                start_new_session=True,  # a Ctrl-C is for the nodes, which end over this network
            )
            self.set({})  # it passes frames on from here
        except OSError:
            self.close()
            raise
        finally:
            for tap in taps:
                os.close(tap)

    def set(self, lines: Mapping[str, Line]) -> None:
        """Changes the lines of some machines; returns when the change holds.

        Raises:
            OSError: the switch has ended.
        """
        assert self._switch is not None and self._switch.stdin is not None and self._switch.stdout is not None
        print(json.dumps({name: asdict(line) for name, line in lines.items()}), file=self._switch.stdin, flush=True)
        answer = self._switch.stdout.readline()
        if not answer:
            raise OSError(f"the switch between the machines has ended with {self._switch.wait(_END_S)}")
        self.dropped = int(answer)

    def close(self) -> None:
        """Removes everything."""
        if self._switch is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                self._switch.communicate(timeout=_END_S)
            self._switch.kill()
        for name in self._names:
            subprocess.run(["ip", "netns", "del", self._namespace(name)], capture_output=True, check=False)

    def _namespace(self, name: str) -> str:
        return f"{self._prefix}-{name}"


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
