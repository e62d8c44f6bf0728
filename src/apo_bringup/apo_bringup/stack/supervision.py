"""Runs the nodes as processes under supervisord: logs to files, restart, orderly end, no orphans."""

from __future__ import annotations

import configparser
import fcntl
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from apo_core.ros.node_runner import CONFIGURATION_FAULT
from apo_core.system.parent_death import END_WITH_PARENT, STARTED_BY, end_with_parent
from apo_core.system.shared_memory import remove_dead_segments

STOP_WAIT_S = 15  # SIGINT first; SIGKILL after this
# A fault of the configuration, or of RMW_IMPLEMENTATION (rcl's status): a node would end the same way again.
NOT_AGAIN = (0, CONFIGURATION_FAULT, 102)
_POLL_S = 0.5
_SWEEP_S = 60.0  # between two looks for shared memory of killed nodes
_USER = "apo"
_end_with_this_process = partial(end_with_parent, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Program:
    """A process to run."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProgramState:
    """State of a program as supervisord reports it."""

    name: str
    state: str  # STARTING, RUNNING, BACKOFF, STOPPING, STOPPED, EXITED, FATAL
    exit_status: int
    log: Path

    @property
    def is_over(self) -> bool:
        """Where programs are started again: this one is not."""
        return self.state == "FATAL" or (self.state == "EXITED" and self.exit_status in NOT_AGAIN)

    @property
    def is_dead(self) -> bool:
        return self.state in ("EXITED", "FATAL", "STOPPED", "BACKOFF")


@dataclass(frozen=True, slots=True)
class Control:
    """How a supervisord is asked; without a password it logs a critical message."""

    socket: Path
    password: str = field(default_factory=partial(secrets.token_hex, 16))

    def states(self, log_dir: Path) -> list[ProgramState]:
        """State of every program; empty while supervisord does not answer."""
        # a connection refused while supervisord starts cannot be used again: each call has its own
        transport = SupervisorTransport(_USER, self.password, f"unix://{self.socket}")
        try:
            rows: Any = ServerProxy("http://127.0.0.1", transport).supervisor.getAllProcessInfo()
        except (OSError, Fault):
            return []
        return [
            ProgramState(row["name"], row["statename"], row["exitstatus"], log_dir / f"{row['name']}.log")
            for row in rows
        ]


def _word(text: str) -> str:
    """One word of a command for supervisord, which takes ` #` and ` ;` for comments even between quotes."""
    return re.sub(r"([^\w@%+=:,./-])", r"\\\1", text, flags=re.ASCII) or "''"


def configuration(
    programs: Sequence[Program],
    log_dir: Path,
    runtime_dir: Path,
    *,
    control: Control,
    restart: bool,
    echo: bool,
    stop_wait_s: int = STOP_WAIT_S,
) -> configparser.RawConfigParser:
    """The supervisord configuration.

    Args:
        programs: what to run.
        log_dir: one `<name>.log` each.
        runtime_dir: where supervisord keeps the number of its process.
        control: of the supervisord.
        restart: start a program again when it ends with an error.
        echo: write to the terminal instead of to files.
        stop_wait_s: a program that runs so long after SIGINT is killed, which supervisord logs.
    """

    def escape(text: str) -> str:
        return text.replace("%", "%%")

    config = configparser.RawConfigParser()
    config["supervisord"] = {
        "logfile": escape(str(log_dir / "supervisord.log")),
        "pidfile": escape(str(runtime_dir / "supervisord.pid")),
        "loglevel": "info",
        "nodaemon": "true",
        # its user anyway; run by root, supervisord logs a critical message when none is set
        "user": str(os.getuid()),
    }
    config["unix_http_server"] = {
        "file": escape(str(control.socket)),
        "chmod": "0700",
        "username": _USER,
        "password": control.password,
    }
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for program in programs:
        environment = {END_WITH_PARENT: "1", STARTED_BY: str(os.getpid()), **program.environment}
        config[f"program:{program.name}"] = {
            "command": escape(" ".join(map(_word, program.command))),
            "environment": escape(",".join(f'{key}="{value}"' for key, value in environment.items())),
            "autorestart": "unexpected" if restart else "false",
            "exitcodes": ",".join(map(str, NOT_AGAIN)),
            # an end before is a failed start, whatever its status: a few more are tried, with pauses
            "startsecs": "1" if restart else "0",
            "startretries": "3",
            "stopsignal": "INT",
            "stopwaitsecs": str(stop_wait_s),
            "stopasgroup": "false",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": "/dev/fd/1" if echo else escape(str(log_dir / f"{program.name}.log")),
            "stdout_logfile_maxbytes": "0",
        }
    return config


def supervisord_command(config_file: Path) -> list[str]:
    """Program and arguments that run supervisord in the foreground."""
    return [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(config_file)]


class Supervisor:
    """supervisord as a child of this process; ends its programs when this process ends, however that comes about.

    Args:
        programs: what to run.
        log_dir: where logs go; created when missing.
    """

    def __init__(self, programs: Sequence[Program], log_dir: Path):
        self._log_dir = log_dir.resolve()
        self._log_dir.mkdir(parents=True, exist_ok=True)
        # the path of a unix socket is limited to 107 bytes: a run folder may be deeper
        self._runtime_dir = Path(tempfile.mkdtemp(prefix="apo-"))
        self._control = Control(self._runtime_dir / "supervisor.sock")
        config_file = self._log_dir / "supervisord.conf"
        with config_file.open("w") as stream:
            made = configuration(
                programs, self._log_dir, self._runtime_dir, control=self._control, restart=False, echo=False
            )
            made.write(stream)
        with (self._log_dir / "supervisord.out").open("w") as output:
            self._process = subprocess.Popen(
                supervisord_command(config_file),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_this_process,
            )

    def states(self) -> list[ProgramState]:
        """State of every program; empty while supervisord starts.

        Raises:
            RuntimeError: supervisord itself has ended.
        """
        if self._process.poll() is not None:
            output = (self._log_dir / "supervisord.out").read_text()[-2000:]
            raise RuntimeError(f"supervisord ended with status {self._process.returncode}: {output}")
        return self._control.states(self._log_dir)

    def dead(self) -> list[ProgramState]:
        """Programs that ended by themselves."""
        return [state for state in self.states() if state.is_dead]

    def stop(self) -> None:
        """Ends every program with SIGINT, then supervisord; returns when they are gone."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_WAIT_S + 10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        remove_dead_segments()
        shutil.rmtree(self._runtime_dir, ignore_errors=True)


class _EndedPrograms:
    """Reports each program that is not started again, once; pure but for the report."""

    def __init__(self, report: Callable[[str], None]):
        self._report = report
        self._reported: set[str] = set()

    def add(self, states: Sequence[ProgramState]) -> bool:
        """Takes the states of all programs; returns whether none is left."""
        for state in states:
            if state.is_over and state.name not in self._reported:
                self._reported.add(state.name)
                how = f"ended with status {state.exit_status}" if state.state == "EXITED" else "failed to start"
                self._report(f"{state.name} {how} and is not started again")
        return bool(states) and all(state.is_over for state in states)


def run_in_foreground(programs: Sequence[Program], log_dir: Path, stop_wait_s: int = STOP_WAIT_S) -> int:
    """Runs programs on this terminal until Ctrl-C, starting again what fails; returns the exit status.

    A program that ends because of its configuration is not started again. Once none is left, the status is the largest
    of theirs. A program that runs `stop_wait_s` after SIGINT is killed. What killed nodes leave in shared memory is
    removed.
    """
    log_dir = log_dir.resolve()
    log_dir.mkdir(parents=True, exist_ok=True)
    # not in the folder of the logs: another `apo up`, started at the same moment, would write over it before it is read
    runtime_dir = Path(tempfile.mkdtemp(prefix="apo-"))
    config_file = runtime_dir / "supervisord.conf"
    with config_file.open("w") as stream:
        control = Control(runtime_dir / "supervisor.sock")
        configuration(
            programs, log_dir, runtime_dir, control=control, restart=True, echo=True, stop_wait_s=stop_wait_s
        ).write(stream)
    # supervisord opens stdout once more for the programs' output: in a file, each would overwrite the other
    fcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_APPEND)
    process = subprocess.Popen(
        supervisord_command(config_file), start_new_session=True, preexec_fn=_end_with_this_process
    )
    stop_signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stop_signals.append(received))
    ended = _EndedPrograms(lambda text: print(f"apo up: {text}", file=sys.stderr, flush=True))
    status, is_stopping, asked_s, swept_s = 0, False, time.monotonic(), -_SWEEP_S
    try:
        while process.poll() is None:
            if stop_signals:
                is_stopping = True
                process.terminate()
                stop_signals.clear()
            if not is_stopping and time.monotonic() - asked_s >= _POLL_S:
                states, asked_s = control.states(log_dir), time.monotonic()
                if ended.add(states):
                    status = max(1 if state.state == "FATAL" else state.exit_status for state in states)
                    is_stopping = True
                    process.terminate()
            if time.monotonic() - swept_s >= _SWEEP_S:
                swept_s = time.monotonic()
                remove_dead_segments()
            time.sleep(0.1)
    finally:
        remove_dead_segments()
        shutil.rmtree(runtime_dir, ignore_errors=True)
    return status or process.returncode
