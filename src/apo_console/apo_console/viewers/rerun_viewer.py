"""The viewer process of rerun, on this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

from apo_console.viewers.config import WEB, RerunConfig
from apo_core.errors import ApoError
from apo_core.system.parent_death import end_with_parent

_START_S = 20.0
_END_S = 5.0
_POLL_S = 0.05


class ViewerError(ApoError):
    """The viewer does not start, or cannot be reached."""


class RerunViewer:
    """Starts the viewer and ends it; it ends with this process however that ends.

    Raises:
        ViewerError: it ended at once, or does not answer.
    """

    def __init__(self, config: RerunConfig):
        command = [sys.executable, "-m", "rerun", "--bind", config.host, "--port", str(config.port)]
        command += ["--memory-limit", config.memory_limit]
        if config.viewer == WEB:
            command += ["--serve-web", "--web-viewer-port", str(config.web_port)]
            command += ["--ws-server-port", str(config.websocket_port), "--server-memory-limit", config.memory_limit]
        for port in (config.port, *((config.web_port, config.websocket_port) if config.viewer == WEB else ())):
            if _answers(config.host, port):
                raise ViewerError(f"port {port} on {config.host} is taken: set another one in config/rerun.yaml")
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=end_with_parent
        )
        try:
            self._wait(config)
        except ViewerError:
            self.close()
            raise

    def _wait(self, config: RerunConfig) -> None:
        due = time.monotonic() + _START_S
        while not _answers(config.host, config.port):
            if (status := self._process.poll()) is not None:
                raise ViewerError(f"the viewer ended with status {status}; its own message is above")
            if time.monotonic() > due:
                raise ViewerError(f"the viewer does not answer on {config.host}:{config.port} after {_START_S:.0f} s")
            time.sleep(_POLL_S)

    @property
    def is_running(self) -> bool:
        """False once its window is closed."""
        return self._process.poll() is None

    def close(self) -> None:
        """Ends it."""
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def check_running(config: RerunConfig) -> None:
    """Raises ViewerError where no viewer answers."""
    if not _answers(config.host, config.port):
        raise ViewerError(
            f"no viewer answers on {config.host}:{config.port}: start `rerun`, or set viewer: web (config/rerun.yaml)"
        )


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 1.0):
            return True
    except OSError:
        return False
