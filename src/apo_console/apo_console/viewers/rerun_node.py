"""ROS node: the robot as a live stream for the rerun viewer. It publishes nothing but diagnostics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from apo_console.viewers.config import DESKTOP, FILE, RUNNING, WEB, RerunConfig
from apo_console.viewers.rerun_viewer import RerunViewer, check_running
from apo_core.contract.contract import load_contract
from apo_core.ros.conversions import from_floats, to_ns
from apo_core.ros.diagnostics import OK, WARN, diagnostic_array
from apo_core.ros.node_runner import run
from apo_core.ros.observation_subscriber import ObservationSubscriber
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_episodes.formats.rerun import APPLICATION, RerunLog, rerun_module
from apo_interfaces.msg import (
    ActionCommand,
    ActionDoubt,
    AdapterStatus,
    ControlStatus,
    EpisodeEvent,
    TaskStatus,
    TrainerStatus,
)


class RerunNode(Node):
    """Cameras, state, actions, doubt, progress and events at their stamps, named as in the recording of an episode."""

    def __init__(self) -> None:
        super().__init__("rerun")
        self._config = config = declare(self, RerunConfig)
        self._contract = contract = load_contract(config.contract_file)
        rr = rerun_module()
        self._viewer: RerunViewer | None = None
        self._recording = rr.new_recording(application_id=APPLICATION)
        self._rr = rr
        self._connect(rr)
        self._log = RerunLog(rr, self._recording, config.jpeg_quality)
        self._images = {spec.name for spec in contract.images}
        self._control = ""
        self._logged = 0
        ObservationSubscriber(self, contract, sensors(config.sensor_reliability), self._on_sample)
        for kind, topic, handle, qos in (
            (ActionCommand, "command", self._on_command, COMMANDS),
            (ControlStatus, "control/status", self._on_status, COMMANDS),
            (ActionDoubt, "policy/doubt", self._on_doubt, COMMANDS),
            (AdapterStatus, "policy/adapter_status", self._on_adapter, LATCHED),
            (EpisodeEvent, "recorder/event", self._on_episode, COMMANDS),
            (TrainerStatus, "trainer/status", self._on_training, LATCHED),
            (TaskStatus, "task/status", self._on_task, COMMANDS),
        ):
            self.create_subscription(kind, topic, handle, qos)
        self._diagnostics_pub = self.create_publisher(DiagnosticArray, "/diagnostics", COMMANDS)
        self.create_timer(1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _connect(self, rr: Any) -> None:
        config = self._config
        if config.viewer == FILE:
            rr.save(config.file, recording=self._recording)
            self.get_logger().info(f"rerun: {config.file}")
            return
        if config.viewer == RUNNING:
            check_running(config)
        else:
            self._viewer = RerunViewer(config)
        rr.connect_tcp(f"{config.host}:{config.port}", recording=self._recording)
        page = f"http://{config.host}:{config.web_port}?url=ws://{config.host}:{config.websocket_port}"
        places = {WEB: page, DESKTOP: "the window", RUNNING: f"the viewer on {config.host}:{config.port}"}
        self.get_logger().info(f"rerun: {places[config.viewer]}")

    def close(self) -> None:
        """Sends what waits and ends the viewer that this node has started."""
        self._rr.disconnect(recording=self._recording)
        if self._viewer is not None:
            self._viewer.close()

    def _at(self, message: Any, **sequences: int) -> None:
        self._log.at(to_ns(message.header.stamp), **sequences)
        self._logged += 1

    def _on_sample(self, stream: str, stamp_ns: int, values: np.ndarray) -> None:
        self._log.at(stamp_ns)
        self._logged += 1
        if stream in self._images:
            self._log.picture(stream, values)
        else:
            self._log.state(stream, values)

    def _on_command(self, m: ActionCommand) -> None:
        names = self._contract.action.names
        self._at(m, tick=m.tick)
        for who, values in (("executed", m.values), ("policy", m.policy_values), ("human", m.human_values)):
            if len(values) == len(names):
                self._log.action(names, who, np.asarray(from_floats(values, len(names))))
        shown = f"{m.source}: {m.reason}" + (f" (clipped: {m.clipped})" if m.clipped else "")
        if shown != self._control:  # a line for each change, none for each tick
            self._control = shown
            self._log.text("control", shown, m.source)

    def _on_status(self, m: ControlStatus) -> None:
        self._at(m)
        for name in ("ticks_missed", "takeovers", "response_ms", "takeover_latency_p99_ms", "adapter_version"):
            self._figure(f"arbiter/{name}", getattr(m, name))

    def _on_doubt(self, m: ActionDoubt) -> None:
        self._at(m)
        self._figure("policy/entropy", m.entropy)
        self._figure("policy/log_prob", m.log_prob)

    def _on_adapter(self, m: AdapterStatus) -> None:
        self._at(m)
        self._log.text("adapter", f"{m.state} {m.requested_version}, serving {m.version} {m.reason}".strip())

    def _on_episode(self, m: EpisodeEvent) -> None:
        self._at(m)
        self._log.text("episode", f"{m.event} {m.episode_id} {m.outcome} {m.reason}".strip())

    def _on_training(self, m: TrainerStatus) -> None:
        self._at(m)
        if m.state == TrainerStatus.RUNNING:
            self._figure("trainer/loss", m.loss)
        self._log.text("training", f"{m.state} {m.run_id} {m.step}/{m.steps} {m.message}".strip())

    def _on_task(self, m: TaskStatus) -> None:
        self._at(m)
        if m.remaining >= 0:
            self._figure("task/remaining", m.remaining)
        for name, reached in zip(m.stages, m.stages_reached, strict=False):
            self._figure(f"task/{name}", reached)

    def _figure(self, entity: str, value: float) -> None:
        if math.isfinite(value):
            self._log.figure(entity, value)

    def _publish_diagnostics(self) -> None:
        is_gone = self._viewer is not None and not self._viewer.is_running
        text = "the viewer has ended: start this node again" if is_gone else f"sent {self._logged} messages"
        level = WARN if is_gone else OK
        self._diagnostics_pub.publish(diagnostic_array(self, level, text, {"messages": str(self._logged)}))


def main() -> None:
    """Console script."""
    raise SystemExit(run(RerunNode))


if __name__ == "__main__":
    main()
