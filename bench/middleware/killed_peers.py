"""Kills ROS processes at random moments and counts which others crash or hang because of it.

    source scripts/env.sh && python bench/middleware/killed_peers.py --transport udp --kills 2000 --seed 1

Three kinds of process receive 640 x 480 images (at 5 Hz of a camera, to spare the processor) and small status messages
(at 20 Hz) and publish them: peers, which are killed with SIGKILL; survivors that make and destroy their nodes for ever,
as a test run does; and two steady ones with one node each, as arbiter and teleop are. A process that ends without
having been killed is a crash. One without progress for --hang seconds is a hang: its Python stacks go to stderr (with
--gdb its native ones as well), and another takes its place. Processes are forked from this one, which has imported
rclpy and never starts it: that takes milliseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import fcntl
import json
import math
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from transports import TRANSPORTS

_FORK = multiprocessing.get_context("fork")
_SHARED_MEMORY = Path("/dev/shm")
_PERIOD_S, _PERIODS_OF_AN_IMAGE = 0.05, 4
_PEER_LIFE_S = 2.0  # longest until a peer is killed: most have met the others by then
_NODE_LIFE_S, _CONTEXT_LIFE_S = 2.0, 10.0  # longest; killed peers are given up 5 s after their end
_CAMERAS = 0.2  # share of the nodes that publish images
_POLL_S = 0.01
_STACKS_S = 2.0  # in which a process on a busy machine writes its stacks before it is killed


def upper_limit(events: int, n: int) -> float:
    """One-sided 95 % upper limit of a rate of which `events` of `n` trials were seen (Clopper and Pearson)."""
    from scipy.stats import beta

    return 1.0 if events >= n else float(beta.ppf(0.95, events + 1, n - events))


def dead_segments() -> list[Path]:
    """Shared memory that no living Fast DDS process holds: segments and ports whose lock is free."""
    dead = []
    for lock in _SHARED_MEMORY.glob("fastrtps_*_el"):
        try:
            with lock.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        dead.append(lock.with_name(lock.name.removesuffix("_el")))
    return dead


class Program:
    """What a process does: a node with the traffic of this project.

    Args:
        progress: counts what the process gets done, read by the one that watches it.
        destroyed: counts the nodes that it destroyed.
        gap: longest time in s between two status messages of the other steady process.
        images: counts those received.
        seed: of the lifetimes of nodes.
    """

    def __init__(self, progress, destroyed, gap, images, seed: int):
        self._progress = progress
        self._destroyed = destroyed
        self._gap = gap
        self._images = images
        self._random = random.Random(seed)

    def start(self, steady: bool) -> None:
        """Runs for ever, with one node or with one after the other."""
        from apo_core.system.parent_death import end_with_parent

        end_with_parent(signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        faulthandler.enable()
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        while True:
            self._join(math.inf if steady else self._random.uniform(0.0, _CONTEXT_LIFE_S), steady)

    def _join(self, seconds: float, steady: bool) -> None:
        """A participant, with one node after the other."""
        import rclpy

        context = rclpy.Context()
        context.init()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._live(context, math.inf if steady else self._random.uniform(0.0, _NODE_LIFE_S))
        context.shutdown()
        self._progress.value += 1

    def _live(self, context, seconds: float) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from sensor_msgs.msg import Image

        from apo_core.ros.qos import COMMANDS, sensors
        from apo_interfaces.msg import TaskStatus

        node = rclpy.create_node(f"n{os.getpid()}", context=context)
        image = Image(height=480, width=640, step=1920, encoding="rgb8", data=bytes(480 * 640 * 3))
        status = TaskStatus(seed=os.getpid() if seconds == math.inf else 0)  # a seed: of a steady process
        images = node.create_publisher(Image, "front/image_raw", sensors("reliable"))
        statuses = node.create_publisher(TaskStatus, "task/status", COMMANDS)
        node.create_subscription(Image, "front/image_raw", self._on_image, sensors("reliable"))
        node.create_subscription(TaskStatus, "task/status", self._receiver(), COMMANDS)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        end, due, sent, is_camera = time.monotonic() + seconds, 0.0, 0, self._random.random() < _CAMERAS
        while time.monotonic() < end:
            if time.monotonic() >= due:
                due = time.monotonic() + _PERIOD_S
                statuses.publish(status)
                sent += 1
                if is_camera and sent % _PERIODS_OF_AN_IMAGE == 0:
                    images.publish(image)
            executor.spin_once(timeout_sec=_POLL_S)
            self._progress.value += 1
        node.destroy_node()
        executor.shutdown()
        self._progress.value += 1
        self._destroyed.value += 1

    def _on_image(self, message) -> None:
        self._images.value += 1

    def _receiver(self) -> Callable:
        last_s = math.inf

        def on_status(message) -> None:
            nonlocal last_s
            if message.seed not in (0, os.getpid()):
                now = time.monotonic()
                self._gap.value = max(self._gap.value, now - last_s)
                last_s = now

        return on_status


class Watched:
    """A process of the cell, its progress, and what became of it."""

    def __init__(self, kind: str, seed: int):
        self.kind = kind
        self._progress = _FORK.RawValue("Q", 0)
        self.destroyed = _FORK.RawValue("Q", 0)
        self.gap = _FORK.RawValue("d", 0.0)
        self.images = _FORK.RawValue("Q", 0)
        self._seen = (0, time.monotonic())
        program = Program(self._progress, self.destroyed, self.gap, self.images, seed)
        self.process = _FORK.Process(target=program.start, args=(kind == "steady",), daemon=True)
        self.process.start()
        self.killed = False

    def idle_s(self) -> float:
        """Seconds since the process last got on."""
        now, value = time.monotonic(), self._progress.value
        if value != self._seen[0]:
            self._seen = (value, now)
        return now - self._seen[1]

    def show_stacks(self, native: bool) -> None:
        """Writes what every thread is doing to stderr."""
        os.kill(self.process.pid, signal.SIGUSR1)
        time.sleep(_STACKS_S)
        if native:
            command = ["gdb", "-p", str(self.process.pid), "-batch", "-ex", "thread apply all bt 30"]
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(command, stdout=sys.stderr, stderr=subprocess.DEVNULL, timeout=300, check=False)

    def kill(self) -> None:
        """SIGKILL, and waits for the end."""
        self.killed = True
        self.process.kill()
        self.process.join()

    def crash(self) -> str:
        """How it ended by itself, such as `survivor: SIGSEGV`; empty while it runs."""
        code = self.process.exitcode
        if code is None or self.killed:
            return ""
        return f"{self.kind}: {signal.Signals(-code).name if code < 0 else f'status {code}'}"


@dataclass
class Count:
    """What was seen."""

    kills: int = 0
    crashes: Counter = field(default_factory=Counter)  # of processes that nobody killed
    hangs: Counter = field(default_factory=Counter)
    starts: int = 0
    destroyed: int = 0  # nodes, by processes that were not killed
    images: int = 0  # received by them
    longest_gap_s: float = 0.0  # between two messages of the steady processes
    dead_segments: int = 0  # left in /dev/shm beyond those of the beginning
    dead_mb: float = 0.0
    seconds: float = 0.0

    def report(self) -> dict[str, object]:
        """For a JSON line, with the 95 % upper limits per kill."""
        crashes, hangs = self.crashes.total(), self.hangs.total()
        return vars(self) | {
            "crashes_total": crashes,
            "hangs_total": hangs,
            "crash_limit_95": upper_limit(crashes, self.kills),
            "hang_limit_95": upper_limit(hangs, self.kills),
        }


def kill_peers(
    kills: int, seed: int, peers: int = 3, survivors: int = 3, hang_s: float = 60.0, native_stacks: bool = False
) -> Count:
    """Runs the cell until so many peers were killed; the environment has the transport and the ROS domain.

    Args:
        kills: number of SIGKILLs.
        seed: of the moments and of the lifetimes of nodes.
        peers: how many there are at a time.
        survivors: how many make and destroy nodes.
        hang_s: a process without progress for so long hangs.
        native_stacks: shows the C++ stacks of a hanging process, with gdb.
    """
    import rclpy  # noqa: F401 (inherited by the processes)
    from sensor_msgs.msg import Image  # noqa: F401

    from apo_interfaces.msg import TaskStatus  # noqa: F401

    rng, count, begin = random.Random(seed), Count(), time.monotonic()
    before = set(dead_segments())

    def add(one: Watched) -> None:
        count.longest_gap_s = max(count.longest_gap_s, one.gap.value)
        count.images += one.images.value
        count.destroyed += one.destroyed.value

    def crashed(one: Watched) -> None:
        count.crashes[one.crash()] += 1
        print(f"{count.kills} kills: {one.crash()}", file=sys.stderr, flush=True)

    def start(kind: str) -> Watched:
        count.starts += 1
        return Watched(kind, rng.getrandbits(32))

    everyone = [start(kind) for kind in ["steady"] * 2 + ["survivor"] * survivors]
    doomed = {start("peer"): time.monotonic() + rng.uniform(0.0, _PEER_LIFE_S) for _ in range(peers)}
    try:
        while count.kills < kills:
            time.sleep(_POLL_S)
            for peer, due in list(doomed.items()):
                if peer.process.is_alive() and time.monotonic() >= due:
                    peer.kill()
                    count.kills += 1
                    if count.kills % 100 == 0:
                        print(f"{count.kills} kills, {count.crashes.total()} crashes", file=sys.stderr, flush=True)
                if peer.process.exitcode is not None:
                    if peer.crash():
                        crashed(peer)
                    del doomed[peer]
                    doomed[start("peer")] = time.monotonic() + rng.uniform(0.0, _PEER_LIFE_S)
            for index, one in enumerate(everyone):
                if not one.crash() and one.idle_s() > hang_s:
                    count.hangs[one.kind] += 1
                    print(f"{count.kills} kills: a {one.kind} hangs", file=sys.stderr, flush=True)
                    one.show_stacks(native_stacks)
                    one.kill()
                if one.crash():
                    crashed(one)
                if one.process.exitcode is not None:
                    add(one)
                    everyone[index] = start(one.kind)
    finally:
        for one in everyone:
            add(one)
        for one in [*everyone, *doomed]:
            one.kill()
    left = set(dead_segments()) - before
    count.dead_segments = len(left)
    count.dead_mb = sum(path.stat().st_size for path in left if path.exists()) * 1e-6
    count.seconds = time.monotonic() - begin
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transport", choices=sorted(TRANSPORTS), default="udp")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peers", type=int, default=3, help="that are killed, at a time")
    parser.add_argument("--survivors", type=int, default=3, help="that make and destroy nodes")
    parser.add_argument("--hang", type=float, default=60.0, help="seconds without progress that are a hang")
    parser.add_argument("--gdb", action="store_true", help="show the native stacks of a hanging process")
    arguments = parser.parse_args()
    os.environ.update(TRANSPORTS[arguments.transport].environment())
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    count = kill_peers(
        arguments.kills, arguments.seed, arguments.peers, arguments.survivors, arguments.hang, arguments.gdb
    )
    print(json.dumps({"transport": arguments.transport, "seed": arguments.seed} | count.report()))
    raise SystemExit(1 if count.crashes or count.hangs else 0)


if __name__ == "__main__":
    main()
