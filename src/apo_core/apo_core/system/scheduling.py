"""Scheduling of processes that must run at once on busy cores, and of those that must not delay them."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

NICENESS = -10  # where the real-time policy is not permitted
LOWEST = 19  # niceness
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}  # machine -> number of the system call, which libc does not wrap
_IOPRIO_WHO_PROCESS, _IOPRIO_CLASS_IDLE = 1, 3 << 13
_OOM_FIRST = "1000"


def raise_priority(priority: int, threads: Sequence[int] = ()) -> str:
    """Gives threads of this process, and those that they start, SCHED_FIFO, else a lower niceness.

    Linux reserves a share of each core for other programs (`sched_rt_runtime_us`), whatever such a thread does.

    Args:
        priority: of SCHED_FIFO, 1..99; 0 leaves everything as it is.
        threads: native ids; empty: all.

    Returns:
        What holds now, for people: the policy, and where it is not the wanted one, how to permit it.
    """
    if not priority:
        return f"niceness {os.getpriority(os.PRIO_PROCESS, 0)}"
    threads = threads or [int(name) for name in os.listdir("/proc/self/task")]
    try:
        for thread in threads:
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
        return f"SCHED_FIFO {priority}"
    except OSError:
        advice = f"allow it with 'rtprio {priority}' for this user in /etc/security/limits.conf"
    try:
        for thread in threads:
            os.setpriority(os.PRIO_PROCESS, thread, NICENESS)
        return f"niceness {NICENESS}; SCHED_FIFO {priority} (realtime_priority) is not permitted: {advice}"
    except OSError:
        kept = os.getpriority(os.PRIO_PROCESS, 0)
        return f"niceness {kept}; SCHED_FIFO {priority} (realtime_priority) is not permitted: {advice}"


def give_way() -> None:
    """Gives this process the lowest priority of processor and disk, and offers it first where memory runs out.

    What a system does not permit or know stays as it is. Call it before the first thread: others keep their priority.
    """
    os.setpriority(os.PRIO_PROCESS, 0, LOWEST)
    if (number := _IOPRIO_SET.get(platform.machine())) is not None:
        ctypes.CDLL(None).syscall(number, _IOPRIO_WHO_PROCESS, 0, _IOPRIO_CLASS_IDLE)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_FIRST)
