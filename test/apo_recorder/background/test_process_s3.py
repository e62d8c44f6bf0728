"""The background process and an S3 server on loopback, through a cut line and a kill."""

import os
import signal

import pytest
import s3_server
from background_states import until_shown, until_uploaded

from apo_episodes.remote.store import RemoteStore
from apo_recorder.background.job import Job, UploadJob
from apo_recorder.background.process import BackgroundProcess

for package in s3_server.PACKAGES:
    pytest.importorskip(package, reason=f"{package} {s3_server.MISSING}")

server, line = s3_server.server, s3_server.line


def test_episodes_reach_s3_through_a_cut_line_and_a_kill(write_film, line):
    first, options = write_film("e1"), s3_server.options(line)
    url = f"{s3_server.new_bucket(line)}/robots"
    process = BackgroundProcess(Job(str(first.parent), 1.0, UploadJob(url, "arm1", options)))
    try:
        until_uploaded(process, 1)
        line.cut()
        write_film("e2")
        failing = until_shown(process, "it is tried again, recording goes on; check network, credentials")
        assert (failing.values["uploaded"], failing.values["waiting"]) == ("1", "1")
        os.kill(int(failing.values["pid"]), signal.SIGKILL)
        until_shown(process, "ended with signal SIGKILL")
        line.mend()
        assert until_uploaded(process, 2).values["waiting"] == "0"
    finally:
        process.close()
    assert list(RemoteStore(url, options).episodes()) == [("arm1", "e1"), ("arm1", "e2")]
