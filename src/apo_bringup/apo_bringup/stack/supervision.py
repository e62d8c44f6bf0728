"""Runs the nodes as processes under supervisord: logs to files, restart, orderly end, no orphans."""

from __future__ import annotations

import configparser
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from apo_core.system.parent_death import END_WITH_PARENT, end_with_parent

STOP_WAIT_S = 15  # SIGINT first; SIGKILL after this
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
    def is_dead(self) -> bool:
        return self.state in ("EXITED", "FATAL", "STOPPED", "BACKOFF")


def _word(text: str) -> str:
    """One word of a command for supervisord, which takes ` #` and ` ;` for comments even between quotes."""
    return re.sub(r"([^\w@%+=:,./-])", r"\\\1", text, flags=re.ASCII) or "''"


def configuration(
    programs: Sequence[Program], log_dir: Path, runtime_dir: Path, *, socket: Path | None, restart: bool, echo: bool
) -> configparser.RawConfigParser:
    """The supervisord configuration.

    Args:
        programs: what to run.
        log_dir: one `<name>.log` each.
        runtime_dir: where supervisord keeps the number of its process.
        socket: control socket; None: none.
        restart: start a program again when it ends with an error.
        echo: write to the terminal instead of to files.
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
    if socket is not None:
        config["unix_http_server"] = {"file": escape(str(socket)), "chmod": "0700"}
        config["rpcinterface:supervisor"] = {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        }
    for program in programs:
        environment = {END_WITH_PARENT: "1", **program.environment}
        config[f"program:{program.name}"] = {
            "command": escape(" ".join(map(_word, program.command))),
            "environment": escape(",".join(f'{key}="{value}"' for key, value in environment.items())),
            "autorestart": "unexpected" if restart else "false",
            "exitcodes": "0",
            "startsecs": "1" if restart else "0",
            "startretries": "5",
            "stopsignal": "INT",
            "stopwaitsecs": str(STOP_WAIT_S),
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
        self._socket = self._runtime_dir / "supervisor.sock"
        config_file = self._log_dir / "supervisord.conf"
        with config_file.open("w") as stream:
            made = configuration(
                programs, self._log_dir, self._runtime_dir, socket=self._socket, restart=False, echo=False
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
        # a connection refused while supervisord starts cannot be used again: each call has its own
        proxy = ServerProxy("http://127.0.0.1", SupervisorTransport(serverurl=f"unix://{self._socket}"))
        try:
            rows: Any = proxy.supervisor.getAllProcessInfo()
        except (OSError, Fault):
            return []
        return [
            ProgramState(row["name"], row["statename"], row["exitstatus"], self._log_dir / f"{row['name']}.log")
            for row in rows
        ]

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
        shutil.rmtree(self._runtime_dir, ignore_errors=True)


def run_in_foreground(programs: Sequence[Program], log_dir: Path) -> int:
    """Runs programs on this terminal until Ctrl-C, starting again what fails; returns supervisord's exit status."""
    log_dir = log_dir.resolve()
    log_dir.mkdir(parents=True, exist_ok=True)
    # not in the folder of the logs: another `apo up`, started at the same moment, would write over it before it is read
    runtime_dir = Path(tempfile.mkdtemp(prefix="apo-"))
    config_file = runtime_dir / "supervisord.conf"
    with config_file.open("w") as stream:
        configuration(programs, log_dir, runtime_dir, socket=None, restart=True, echo=True).write(stream)
    # supervisord opens stdout once more for the programs' output: in a file, each would overwrite the other
    fcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_APPEND)
    process = subprocess.Popen(
        supervisord_command(config_file), start_new_session=True, preexec_fn=_end_with_this_process
    )
    stop_signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stop_signals.append(received))
    try:
        while process.poll() is None:
            if stop_signals:
                process.terminate()
                stop_signals.clear()
            time.sleep(0.1)
    finally:
        shutil.rmtree(runtime_dir, ignore_errors=True)
    return process.returncode
