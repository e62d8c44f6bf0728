"""Scheduling of a process whose threads must run at once while other programs keep every core busy."""

from __future__ import annotations

import os
from collections.abc import Sequence

NICENESS = -10  # where the real-time policy is not permitted


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
