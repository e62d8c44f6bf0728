"""`make test` ends with a failure that names the test, whatever a test does to its process."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WAIT_S = 120.0  # limit of a run that ends within seconds
CONFTEST = """
import hang_guard
from hang_guard import *
hang_guard.GRACE_S = 1.0
"""
FINE = """
def test_fine():
    pass
"""
BLOCKED = "ctypes.PyDLL(None).pause()"  # in C, with Python's lock held
# which test does it, and how
ENDS = {
    "segmentation_fault": "ctypes.string_at(0)",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "exit": "os._exit(0)",
    "blocked_in_python": "time.sleep(600)",
    "blocked_in_c": BLOCKED,
    # the child holds the pipes of its parent
    "killed_with_a_child": "os.fork() or time.sleep(600); os.kill(os.getpid(), signal.SIGKILL)",
}


def options_of_make() -> list[str]:
    """Those of pytest in the target `test`."""
    (found,) = re.findall(r"pytest \$\(or \$\(ARGS\),(.+)\)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return found.split()


def run(folder: Path, options: list[str], **files: str) -> subprocess.CompletedProcess:
    """pytest with this project's settings, but a limit of a second, on other files."""
    (folder / "conftest.py").write_text(CONFTEST)
    for name, text in files.items():
        header = "import ctypes, os, signal, time\nimport pytest\n"
        (folder / f"test_{name}.py").write_text(header + text)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={folder}"]
    command += ["-p", "no:cacheprovider", "-p", "xdist.plugin", "-p", "pytest_timeout", "-o", "timeout=1"]
    command += [*options, str(folder)]
    path = f"{ROOT / 'test' / 'support'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    # each of the installed plugins takes its time to load, in every worker
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, timeout=WAIT_S, check=False
    )


@pytest.mark.parametrize("how", ENDS)
def test_a_lost_worker_ends_the_run_and_names_the_test(how, tmp_path):
    lost = f"{FINE}\ndef test_lost():\n    {ENDS[how]}\n\ndef test_never_run():\n    pass\n"
    done = run(tmp_path, options_of_make(), lost=lost, other=FINE)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"crashed while running '.*test_lost\.py::test_lost'", done.stdout), done.stdout
    assert re.search(r"1 failed, [12] passed", done.stdout), done.stdout


def test_a_worker_that_blocks_in_c_leaves_its_stacks(tmp_path):
    done = run(tmp_path, options_of_make(), lost=f"def test_lost():\n    {BLOCKED}\n")
    assert "Timeout (0:00:02)!" in done.stderr
    assert re.search(r"test_lost\.py\", line \d+ in test_lost", done.stderr), done.stderr


def test_the_teardown_of_a_failed_test_is_watched(tmp_path):
    broken = f"@pytest.fixture\ndef node():\n    yield\n    {BLOCKED}\n\ndef test_lost(node):\n    assert False\n"
    done = run(tmp_path, options_of_make(), lost=broken)
    assert done.returncode == 1
    assert re.search(r"crashed while running '.*test_lost\.py::test_lost'", done.stdout), done.stdout
    assert re.search(r"test_lost\.py\", line \d+ in node", done.stderr), done.stderr


def test_a_run_without_workers_ends_as_well(tmp_path):
    done = run(tmp_path, [], lost=f"def test_lost():\n    {BLOCKED}\n")
    assert done.returncode == 1
    assert re.search(r"test_lost\.py\", line \d+ in test_lost", done.stderr), done.stderr


def test_a_worker_lost_while_it_collects_ends_the_run(tmp_path):
    done = run(tmp_path, options_of_make(), lost=ENDS["segmentation_fault"], other=FINE)
    assert done.returncode != 0
    assert "Fatal Python error: Segmentation fault" in done.stderr
    assert "test_lost.py" in done.stderr


def test_a_forked_child_ends_with_its_killed_worker(tmp_path):
    pid_file = tmp_path / "pid"
    pid = f"os.symlink(str(os.getpid()), {str(pid_file)!r})"  # whole, or not there
    lost = (
        "def test_lost():\n    if os.fork() == 0:\n"
        f"        {pid}\n        time.sleep(600)\n    while not os.path.islink({str(pid_file)!r}):\n        pass\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run(tmp_path, options_of_make(), lost=lost)
    end = time.monotonic() + WAIT_S
    while _runs(int(pid_file.readlink().name)):
        assert time.monotonic() < end, "the child outlived its parent"


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False
