import os
import signal
import subprocess
import sys

import pytest

from apo_core.system.parent_death import END_WITH_PARENT, STARTED_BY

CHILD = """
import ctypes, signal, time
signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background inherits that it is ignored
from apo_core.system.parent_death import end_with_parent_if_asked
end_with_parent_if_asked()
number = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(number))  # PR_GET_PDEATHSIG
print(number.value, flush=True)
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


@pytest.mark.parametrize(("value", "number"), [("1", signal.SIGINT), ("0", 0), ("", 0)])
def test_the_environment_asks_for_the_signal(value, number):
    environment = {**os.environ, END_WITH_PARENT: value}
    child = subprocess.run([sys.executable, "-c", CHILD], env=environment, capture_output=True, check=True, timeout=60)
    assert int(child.stdout) == number


def test_a_child_may_take_another_signal():
    program = CHILD.replace("end_with_parent_if_asked()", "end_with_parent_if_asked(signal.SIGKILL)")
    environment = {**os.environ, END_WITH_PARENT: "1"}
    child = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True, timeout=60
    )
    assert int(child.stdout) == signal.SIGKILL


def test_a_child_ends_with_its_killed_parent():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, f"{CHILD}\ntime.sleep(60)"],
        env={**os.environ, END_WITH_PARENT: "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with parent:
        assert parent.stdout.readline()
        parent.kill()
        # the child holds the pipe as well: it ends with both
        assert parent.communicate(timeout=30)[0] == b""


def test_a_child_whose_parent_has_ended_before_it_asks_ends():
    # the parent ends at once; only then does the child go on
    waiting = f"import sys; sys.stdin.read()\n{CHILD}"
    parent = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]])"
    made = subprocess.Popen(
        ["/bin/sh", "-c", 'APO_STARTED_BY=$$ "$0" -c "$1" "$2"; exit', sys.executable, parent, waiting],
        env={**os.environ, END_WITH_PARENT: "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with made:
        made.wait(30)
        output, errors = made.communicate("", timeout=30)
    assert (output, errors) == ("", "the process that started this one has ended\n")


@pytest.mark.parametrize("levels", [1, 2])
def test_a_parent_and_its_parent_count_as_the_one_that_started(levels):
    command = [sys.executable, "-c", CHILD] if levels == 1 else [sys.executable, "-c", PARENT, CHILD]
    environment = {**os.environ, END_WITH_PARENT: "1", STARTED_BY: str(os.getpid())}
    child = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
    assert int(child.stdout) == signal.SIGINT
