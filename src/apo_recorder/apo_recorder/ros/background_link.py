"""The background process between the recorder's parameters and its diagnostics."""

from __future__ import annotations

import socket

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from apo_core.errors import ConfigError
from apo_core.ros.diagnostics import OK, WARN, diagnostic_status
from apo_recorder.background.process import BackgroundProcess
from apo_recorder.config import RecorderConfig

_COMPONENT = "background"


class BackgroundLink:
    """Starts and ends the process, logs what is wrong with it, and makes its status.

    Args:
        node: that logs and reports.
        config: of the recorder.
    """

    def __init__(self, node: Node, config: RecorderConfig):
        self._node, self._config = node, config
        self._process: BackgroundProcess | None = None
        self._fault = ""

    def check(self) -> None:
        """Raises ConfigError where the parameters cannot work on this machine."""
        faults = self._config.background.faults(self._config.robot, socket.gethostname(), self._config.makes_video)
        if faults:
            raise ConfigError("config/recorder.yaml", faults)

    def start(self) -> None:
        """Keeps the process from now on, where there is work for it."""
        config = self._config
        job = config.background.job(config.episode_dir, config.robot, socket.gethostname(), config.makes_video)
        if job is not None:
            self._process = BackgroundProcess(job)

    def statuses(self, now_s: float) -> list[DiagnosticStatus]:
        """For the diagnostics: none without a process. Call it every second; steady time."""
        if self._process is None:
            return []
        state = self._process.step(now_s)
        if state.fault and state.fault != self._fault:
            self._node.get_logger().warning(f"{_COMPONENT}: {state.text}")
        elif self._fault and not state.fault:
            self._node.get_logger().info(f"{_COMPONENT}: {state.text}")
        self._fault = state.fault
        level = WARN if state.fault else OK
        return [diagnostic_status(self._node, level, state.text, state.values, _COMPONENT)]

    def stop(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.close()
            self._process = None
