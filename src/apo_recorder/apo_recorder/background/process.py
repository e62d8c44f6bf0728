"""The child as a process: it is started, read without waiting, and ended."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

from apo_core.system.parent_death import END_WITH_PARENT, STARTED_BY
from apo_recorder.background.job import Job
from apo_recorder.background.supervision import ChildState, Supervision

_READ_BYTES = 1 << 16
_END_S = 1.0  # that its end may take: a process that waits for a dead network disk cannot be ended


class BackgroundProcess:
    """Keeps a child with a job; every call returns at once. Call it from one thread: the child ends with that thread.

    Args:
        job: what it does.
    """

    def __init__(self, job: Job):
        self._job = job
        self._supervision = Supervision(job)
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""  # of the output: the beginning of a line

    def step(self, now_s: float) -> ChildState:
        """Reads what the child has printed, starts it where it is due, and returns its state.

        Args:
            now_s: steady clock.
        """
        if self._process is not None:
            status = self._process.poll()  # before the output, so that the last lines come before the end
            for line in self._lines(self._process):
                self._supervision.on_line(line, now_s)
            if status is not None:
                self._forget()
                self._supervision.on_ended(status, now_s)
            elif self._supervision.is_hung(now_s):
                self._process.kill()
        elif self._supervision.is_due(now_s):
            try:
                self._supervision.on_started(self._start(), now_s)
            except OSError as error:
                self._supervision.on_failed(f"cannot be started: {error}", now_s)
        return self._supervision.state(now_s)

    def _start(self) -> int:
        process = subprocess.Popen(
            [sys.executable, "-m", "apo_recorder.background.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, END_WITH_PARENT: "1", STARTED_BY: str(os.getpid())},
            start_new_session=True,  # an interrupt from the terminal is for the node, which ends the child
        )
        assert process.stdin is not None and process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._process, self._rest = process, b""
        with suppress(OSError):  # it has died already
            # by its input, since all users can see the arguments of a process
            process.stdin.write(f"{self._job.to_json()}\n".encode())
            process.stdin.close()
        return process.pid

    def _lines(self, process: subprocess.Popen[bytes]) -> list[str]:
        assert process.stdout is not None
        with suppress(BlockingIOError):
            self._rest += os.read(process.stdout.fileno(), _READ_BYTES)
        *lines, self._rest = self._rest[-_READ_BYTES:].split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def _forget(self) -> None:
        process, self._process = self._process, None
        for pipe in () if process is None else (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def close(self) -> None:
        """Ends the child; what it was at goes on with the next one."""
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
            self._forget()
