"""Runs `apo_trainer.train` as a process of its own and reads its progress. No ROS, no torch."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from apo_core.system.parent_death import END_WITH_PARENT, STARTED_BY
from apo_trainer.config import TrainerConfig, write_config
from apo_trainer.states import RunState

_LOG_LINES = 5


class TrainingProcess:
    """One training run. The folder of the run gets its configuration, metrics, result and log.

    Args:
        config: what to train and where things are.
        serving: adapter that the new one is to replace; 0 is the base policy.
        episode_ids: interactions to use; empty: all.
        run_id: name of the run, and of its folder below `config.run_dir`.

    Raises:
        OSError: the folder cannot be made, or there is no room for a process.
    """

    def __init__(self, config: TrainerConfig, serving: int, episode_ids: Sequence[str], run_id: str):
        self.run_id = run_id
        self.folder = Path(config.run_dir) / run_id
        self.folder.mkdir(parents=True)
        self._log_path = self.folder / "log.txt"
        self._timeout_s = config.stop_timeout_s
        self._ended = False
        self._kill_at_s: float | None = None
        write_config(config, self.folder / "config.yaml")
        command = [sys.executable, "-m", "apo_trainer.train", "--config", str(self.folder / "config.yaml")]
        command += ["--serving", str(serving), "--run-id", run_id, "--run-dir", str(self.folder)]
        if episode_ids:
            command += ["--episode-ids", *episode_ids]
        with open(self._log_path, "wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, END_WITH_PARENT: "1", STARTED_BY: str(os.getpid()), "PYTHONUNBUFFERED": "1"},
            )
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), name="training output", daemon=True
        )
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self, output: IO[bytes]) -> None:
        for line in output:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict):
                self._messages.put(message)
        self._messages.put(None)

    def cancel(self, now_s: float) -> None:
        """Interrupts the run and returns at once; `poll` ends it by force when it takes longer than configured.

        Args:
            now_s: steady clock.
        """
        self._kill_at_s = now_s + self._timeout_s
        self._process.terminate()

    def poll(self, now_s: float) -> list[dict[str, Any]]:
        """Messages of the run since the last call; the last message has event `result`, even if the process died.

        Args:
            now_s: steady clock.
        """
        if self._kill_at_s is not None and now_s >= self._kill_at_s:
            self._process.kill()
        messages: list[dict[str, Any]] = []
        while not self._ended:
            try:
                message = self._messages.get_nowait()
            except queue.Empty:
                break
            if message is None:
                self._ended = True
                messages.append(self._died())
            else:
                messages.append(message)
                self._ended = message.get("event") == "result"
        return messages

    @property
    def ended(self) -> bool:
        """`poll` has given the result."""
        return self._ended

    def stop(self) -> None:
        """Interrupts the run and waits for its end, by force after the configured time."""
        if self._process.poll() is None:
            self._process.terminate()
        self.join()

    def join(self) -> None:
        """Waits for the process to end, by force after the configured time."""
        try:
            self._process.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(self._timeout_s)

    def _died(self) -> dict[str, Any]:
        status = self._process.wait()
        lines = self._log_path.read_text(errors="replace").strip().splitlines()[-_LOG_LINES:]
        return {
            "event": "result",
            "state": RunState.FAILED if self._kill_at_s is None else RunState.INTERRUPTED,
            "version": None,
            "steps": 0,
            "message": f"the training process ended with status {status}: {' | '.join(lines)} (see {self._log_path})",
        }
