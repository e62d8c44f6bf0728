"""The stack under test: `apo up` as a user types it, one for each machine, its output, the witness and the injector."""

from __future__ import annotations

import fcntl
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from apo_bringup.chaos.events import Event, decode
from apo_bringup.chaos.machine.processes import nodes_below
from apo_bringup.chaos.schedule import NODES
from apo_bringup.stack import nodes
from apo_core.system.parent_death import end_with_parent

_SET_PIPE_SIZE, _PIPE_BYTES = 1031, 4096  # F_SETPIPE_SZ; a small pipe is soon full
_END_S = 40.0
_end_with_this_process = partial(end_with_parent, signal.SIGINT)

# short trials with an operator in most of them, and short training runs
PARAMETERS: dict[str, dict[str, Any]] = {
    "sim_bridge": {"horizon": 40, "auto_reset_delay_s": 0.3},
    "teleop": {"takeover_step": 12, "stall_steps": 8, "min_drive_steps": 10},
    "trainer": {
        "every_n_episodes": 10,
        "steps": 2,
        "warmup_steps": 0,
        "batch_size": 4,
        "held_out_samples": 4,
        "gate_min_samples": 0,
        "gate_undesirable_samples": 1000,
        "gate_l1_tolerance": 100.0,
        "gate_rise_nats": -1000.0,
        "gate_fall_nats": -1000.0,
        "gate_edge_rise": 1.0,
        "threads": 1,
        "gate_own_success_nats": -100000.0,
        "resume_every_steps": 0,
        "niceness": 15,
    },
    "policy": {"torch_threads": 1},
}


class Output:
    """What `apo up` prints, into a file; can stop reading.

    Args:
        stream: the end of the pipe to read from.
        log: file that receives it.
    """

    def __init__(self, stream: Any, log: Path):
        fcntl.fcntl(stream, _SET_PIPE_SIZE, _PIPE_BYTES)
        self.reads = threading.Event()
        self.reads.set()
        self._thread = threading.Thread(target=self._run, args=(stream, log), daemon=True)
        self._thread.start()

    def _run(self, stream: Any, log: Path) -> None:
        with log.open("ab") as file:
            while data := os.read(stream.fileno(), 65536):
                file.write(data)
                file.flush()
                self.reads.wait()


class StackRunner:
    """Starts and ends the stack, the witness and the injector.

    Args:
        output: folder of the run; the nodes write into `data` below it.
        machines: node -> command that runs a program on its machine; nodes that are missing run here.
        environment: of all processes.
    """

    def __init__(self, output: Path, machines: Mapping[str, Sequence[str]], environment: Mapping[str, str]):
        self.data = output / "data"
        self.outputs: list[Output] = []
        self.events: queue.Queue[Event] = queue.Queue()
        self._output, self._machines, self._environment = output, machines, dict(environment)
        self._programs = {name: str(nodes.executable_path(nodes.node(name))) for name in NODES}
        self._ups: list[subprocess.Popen] = []
        self._witness: subprocess.Popen | None = None
        self._injector: subprocess.Popen | None = None

    def start(self) -> None:
        """Starts every machine's nodes, and witness and injector beside the arbiter."""
        self.data.mkdir(parents=True, exist_ok=True)
        (self._output / "log").mkdir(exist_ok=True)
        file = self._output / "parameters.yaml"
        file.write_text(yaml.safe_dump({f"/**/{name}": {"ros__parameters": v} for name, v in PARAMETERS.items()}))
        groups: dict[tuple[str, ...], list[str]] = {}
        for name in NODES:
            groups.setdefault(tuple(self._machines.get(name, ())), []).append(name)
        apo = [sys.executable, "-c", "import sys; from apo_bringup.cli import main; sys.exit(main())"]
        for prefix, names in groups.items():
            options = [
                "--sim",
                "--mode",
                "realtime",
                "--operator",
                "scripted",
                "--data-dir",
                str(self.data),
                "--params-file",
                str(file),
            ]
            options += ["--expert-dir", str(self._output / "no_expert")]
            up = subprocess.Popen(
                [*prefix, *apo, "up", *options, *names],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
                preexec_fn=_end_with_this_process,
            )
            self._ups.append(up)
            self.outputs.append(Output(up.stdout, self._output / "log" / f"{'_'.join(names)}.log"))
        self._witness, self._injector = self._start_beside_arbiter("witness"), self._start_beside_arbiter("injector")

    def _start_beside_arbiter(self, name: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [*self._machines.get("arbiter", ()), sys.executable, "-m", f"apo_bringup.chaos.{name}_node"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log(name).open("a"),
            env=self._environment,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()
        return process

    def _log(self, name: str) -> Path:
        return self._output / "log" / f"{name}.log"

    def _read(self, stream: Any) -> None:
        for line in stream:
            event = decode(line)
            if event is not None:
                self.events.put(event)

    def ask(self, request: Mapping[str, Any]) -> None:
        """Sends the injector a request.

        Raises:
            OSError: it had ended; another one starts.
        """
        assert self._injector is not None
        if self._injector.poll() is not None:
            ended = _ending(self._injector)
            self._injector = self._start_beside_arbiter("injector")
            raise OSError(f"the injector had ended ({ended}), see {self._log('injector')}")
        assert self._injector.stdin is not None
        self._injector.stdin.write(json.dumps(request) + "\n")
        self._injector.stdin.flush()

    @property
    def ended(self) -> str:
        """Which `apo up` has ended, or the witness, and how; empty: none."""
        processes = {f"apo up (process {up.pid})": up for up in self._ups}
        processes |= {"the witness": self._witness} if self._witness is not None else {}
        found = [f"{name} has ended ({_ending(one)})" for name, one in processes.items() if one.poll() is not None]
        return ", ".join(found)

    def pids(self) -> dict[str, int]:
        """Node -> its process; those that do not run are missing."""
        found: dict[str, int] = {}
        for up in self._ups:
            found |= nodes_below(up.pid, self._programs)
        return found

    def stop(self) -> list[str]:
        """Ends everything as Ctrl-C does; returns what did not end by itself."""
        for output in self.outputs:
            output.reads.set()
        left = []
        for up in self._ups:
            if up.poll() is None:
                up.send_signal(signal.SIGINT)
        until = time.monotonic() + _END_S
        for up in self._ups:
            try:
                up.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                left.append(f"apo up (process {up.pid}) did not end within {_END_S:.0f} s")
                os.killpg(up.pid, signal.SIGKILL)
        for process in filter(None, (self._injector, self._witness)):
            if process.poll() is None and process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
        return left


def _ending(process: subprocess.Popen) -> str:
    """`SIGSEGV`, or `status 1`."""
    code = process.returncode
    return signal.Signals(-code).name if code is not None and code < 0 else f"status {code}"
