"""What the kernel shows of processes."""

import os
import signal
import subprocess
import sys

import pytest

from apo_bringup.chaos.machine.processes import (
    ProcessorWait,
    descendants,
    is_stopped,
    nodes_below,
    resident_bytes,
)


@pytest.fixture
def sleeper():
    """A child that sleeps, and has reported that it runs."""
    code = "import time; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, "/lib/a_node"], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        yield child.pid
        child.kill()


def test_a_stopped_process_is_known_and_one_that_is_gone(sleeper):
    assert not is_stopped(sleeper)
    os.kill(sleeper, signal.SIGSTOP)
    os.waitid(os.P_PID, sleeper, os.WSTOPPED)
    assert is_stopped(sleeper)
    os.kill(sleeper, signal.SIGCONT)
    os.waitid(os.P_PID, sleeper, os.WCONTINUED)
    assert not is_stopped(sleeper)
    assert is_stopped(2**22 + 1)


def test_a_child_is_found_by_its_program(sleeper):
    assert sleeper in descendants(os.getpid())
    found = nodes_below(os.getpid(), {"python": sys.executable, "other": "/lib/none"})
    assert found == {"python": found["python"]}


def test_memory_of_a_process(sleeper):
    assert 1_000_000 < resident_bytes(sleeper) < 1_000_000_000
    assert resident_bytes(2**22 + 1) == 0


def test_a_process_that_is_gone_waits_for_nothing(sleeper):
    assert ProcessorWait(sleeper).take() >= 0
    assert ProcessorWait(2**22 + 1).take() == 0
