"""The background process as a process: it uploads, is started again after kill -9, and ends with its parent."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from background_states import WAIT_S, until, until_shown, until_uploaded

from apo_episodes.remote.store import RemoteStore
from apo_recorder.background.job import Job, UploadJob
from apo_recorder.background.process import BackgroundProcess

TAKEOVERS = Path(__file__).parents[2] / "data" / "takeovers"

# keeps a process with the job on its command line until it is killed, and prints the pid
PARENT = """
import sys, time
from apo_recorder.background.job import Job, UploadJob
from apo_recorder.background.process import BackgroundProcess
process = BackgroundProcess(Job.from_json(sys.argv[1]))
while True:
    state = process.step(time.monotonic())
    if "uploaded" in state.text:
        print(state.values["pid"], flush=True)
        sys.stdin.read()
    time.sleep(0.02)
"""


@pytest.fixture
def job(tmp_path) -> Job:
    folder = tmp_path / "episodes"
    folder.mkdir()
    shutil.copy(min(TAKEOVERS.glob("*.h5")), folder)
    return Job(str(folder), 1.0, UploadJob(str(tmp_path / "store"), "arm1"))


def is_running(pid: int) -> bool:
    """Neither gone nor a zombie that waits for the parent that adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_child_is_started_again_and_nothing_is_lost(job):
    process = BackgroundProcess(job)
    try:
        first = until_uploaded(process, 1)
        assert os.getpriority(os.PRIO_PROCESS, int(first.values["pid"])) == 19
        assert Path(f"/proc/{first.values['pid']}/oom_score_adj").read_text().strip() == "1000"
        os.kill(int(first.values["pid"]), signal.SIGKILL)
        ended = until_shown(process, "ended with signal SIGKILL")
        assert "starts again in 1 s" in ended.text
        shutil.copy(max(TAKEOVERS.glob("*.h5")), job.folder)
        second = until_uploaded(process, 2)
        assert (second.fault, second.values["process_starts"]) == ("", "2")
        pid = int(second.values["pid"])
    finally:
        process.close()
    assert not is_running(pid)
    assert len(list(RemoteStore(job.upload.url).episodes())) == 2


def test_the_child_ends_with_a_parent_that_is_killed(job):
    command = [sys.executable, "-c", PARENT, job.to_json()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
        parent.wait(WAIT_S)
        until(lambda: not is_running(pid), "the end of the child")


def test_what_the_child_prints_before_it_dies_is_in_its_state(tmp_path):
    process = BackgroundProcess(Job(str(tmp_path), 1.0, UploadJob("nowhere://x", "arm1")))
    try:
        state = until_shown(process, "ended with exit status 1")
    finally:
        process.close()
    assert "StoreError: nowhere://x: Protocol not known: nowhere" in state.fault
