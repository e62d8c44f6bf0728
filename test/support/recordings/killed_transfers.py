"""Pushes and pulls that `kill -9` ends at a moment that a test chooses."""

from __future__ import annotations

import subprocess
import sys

# For each line "<access> <seconds>" on its input it forks a command, of which kill -9 comes so many seconds after the
# access of that number, at its end at the latest, and never with 0; then it prints the exit status, on a line of its
# own: a killed process leaves the beginning of one now and then.
_FORKS = """
import importlib, os, signal, sys, threading
from apo_core.remote.chunk_store import ChunkStore
from apo_core.remote.journal import Journal

program, chunk_bytes, *arguments = sys.argv[1:]
main = importlib.import_module(program).main
for name in ("apo_episodes.remote.push", "apo_core.adapters.remote.push"):
    if name in sys.modules:
        sys.modules[name].CHUNK_BYTES = int(chunk_bytes)
left, delay = 0, 0.0

def counted(access):
    def call(*arguments):
        global left
        left -= 1
        if left == 0:
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return access(*arguments)
    return call

for owner, names in (
    (ChunkStore, ("has_chunk", "put_chunk", "chunk", "document", "put_document", "listing")),
    (Journal, ("add",)),
):
    for name in names:
        setattr(owner, name, counted(getattr(owner, name)))
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        left, delay = int(line.split()[0]), float(line.split()[1])
        last = left > 0
        status = main(arguments)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(status)
    print("\\nstatus", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class KilledTransfers:
    """One command again and again, in a process that has imported what it needs.

    Args:
        program: module with its `main`.
        arguments: of the command.
        chunk_bytes: of a push.
        imports: modules to import once, before the first command.
    """

    def __init__(self, program: str, *arguments: str, chunk_bytes: int, imports: str = "os"):
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"import {imports}\n{_FORKS}", program, str(chunk_bytes), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> KilledTransfers:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def begin(self, access: int, delay_s: float) -> None:
        """Starts the command, which is killed so long after an access; 0: it is not killed."""
        self._process.stdin.write(f"{access} {delay_s}\n")

    def wait_for(self, *parts: str) -> str:
        """The next line of its output that has one of these texts; its last one is `status <exit status>`."""
        for line in self._process.stdout:
            if any(part in line for part in parts):
                return line.rstrip("\n")
        raise AssertionError("the commands ended")
