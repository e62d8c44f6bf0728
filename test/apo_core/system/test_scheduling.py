"""Scheduling of a process, in processes of their own."""

import os
import subprocess
import sys

import pytest

REPORT = """
import os, threading
from apo_core.system.scheduling import raise_priority
{prepare}
ready, end = threading.Event(), threading.Event()
def before():
    ready.set(); end.wait()
threads = [threading.Thread(target=before)]
threads[0].start(); ready.wait()
print(raise_priority({priority}))
threads.append(threading.Thread(target=end.wait)); threads[1].start()
for name in sorted(os.listdir("/proc/self/task")):
    print(os.sched_getscheduler(int(name)) & 7, os.sched_getparam(int(name)).sched_priority,
          os.getpriority(os.PRIO_PROCESS, int(name)))
end.set()
"""
NO_RIGHTS = """
def reject(*arguments):
    raise PermissionError(1, "Operation not permitted")
os.sched_setscheduler = reject
"""


def scheduled(priority: int, prepare: str = "") -> tuple[str, list[str]]:
    """(report, policy, priority and niceness of each of three threads)."""
    program = REPORT.format(priority=priority, prepare=prepare)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    report, *threads = done.stdout.splitlines()
    return report, threads


def permitted() -> bool:
    program = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(20))"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def test_zero_leaves_the_process_as_it_is():
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert scheduled(0) == (f"niceness {own}", [f"0 0 {own}"] * 3)


@pytest.mark.skipif(not permitted(), reason="SCHED_FIFO 20 is not permitted: set rtprio in limits.conf, or be root")
def test_every_thread_gets_the_real_time_policy():
    report, threads = scheduled(20)
    assert report == "SCHED_FIFO 20"
    assert [line.split()[:2] for line in threads] == [["1", "20"]] * 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may lower the niceness")
def test_without_permission_every_thread_gets_a_lower_niceness():
    report, threads = scheduled(20, NO_RIGHTS)
    assert report.startswith("niceness -10; SCHED_FIFO 20 (realtime_priority) is not permitted: allow it with 'rtprio")
    assert threads == ["0 0 -10"] * 3


def test_without_any_permission_the_report_names_the_limit():
    own = os.getpriority(os.PRIO_PROCESS, 0)
    report, threads = scheduled(20, NO_RIGHTS + "os.setpriority = reject\n")
    assert report == (
        f"niceness {own}; SCHED_FIFO 20 (realtime_priority) is not permitted: allow it with 'rtprio 20' for this user "
        "in /etc/security/limits.conf"
    )
    assert threads == [f"0 0 {own}"] * 3


@pytest.mark.skipif(not permitted(), reason="SCHED_FIFO 20 is not permitted: set rtprio in limits.conf, or be root")
def test_a_thread_that_is_named_is_raised_alone():
    program = """
import os, threading
from apo_core.system.scheduling import raise_priority
found = []
def raised():
    found.append(raise_priority(20, [threading.get_native_id()]))
    found.append(os.sched_getscheduler(0) & 7)
thread = threading.Thread(target=raised)
thread.start(); thread.join()
print(found, os.sched_getscheduler(0) & 7)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"['SCHED_FIFO 20', {os.SCHED_FIFO}] 0\n"


def test_a_process_that_gives_way_has_the_lowest_priority():
    report = (
        "import os; from apo_core.system.scheduling import give_way; give_way();"
        "print(os.getpriority(os.PRIO_PROCESS, 0), open('/proc/self/oom_score_adj').read())"
    )
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["19", "1000"]
