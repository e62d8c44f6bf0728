"""The recorder as a ROS node: every executed command with its observation, one file an episode."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.task import Future
from std_msgs.msg import Header

from apo_core.contract import load_contract
from apo_core.errors import ConfigError, ObservationError
from apo_core.ros.conversions import from_floats, to_ns
from apo_core.ros.lifecycle import LifecycleBase
from apo_core.ros.node_main import run
from apo_core.ros.observation_source import ObservationSource
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, sensors
from apo_core.types import ControlSource
from apo_interfaces.msg import ActionCommand, EpisodeEvent, TaskStatus
from apo_interfaces.srv import EndEpisode, StartEpisode
from apo_recorder.alignment import ExecutedCommand
from apo_recorder.config import RecorderConfig
from apo_recorder.episode_request import DISCARD, TaskProgress, parse_outcome
from apo_recorder.episode_writer import EpisodeWriterThread, EventKind, WriterEvent
from apo_recorder.recording import Recording

_POLL_S = 0.02


class RecorderNode(LifecycleBase):
    """Converts messages and hands them on; the writer's thread tells it of its events through a guard condition."""

    def __init__(self):
        super().__init__("recorder")
        self._config = declare(self, RecorderConfig)
        self._writer: EpisodeWriterThread | None = None
        self._last_failure = ""
        self._begun: dict[str, Future] = {}  # episode id -> answer of ~/start_episode
        self._ended: dict[str, Future] = {}  # episode id -> answer of ~/end_episode
        self._event_pub = self.create_publisher(EpisodeEvent, "recorder/event", COMMANDS)
        self._written = self.create_guard_condition(self._on_written)
        waiting = ReentrantCallbackGroup()  # a service that waits for the disk would hold up all else in its group
        self.create_service(StartEpisode, "~/start_episode", self._on_start, callback_group=waiting)
        self.create_service(EndEpisode, "~/end_episode", self._on_end, callback_group=waiting)

    def configure(self) -> None:
        self._contract = load_contract(self._config.contract_file)
        directory = Path(self._config.episode_dir)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError("config/recorder.yaml", [f"episode_dir = {str(directory)!r}: {error}"]) from None

    def activate(self) -> None:
        config, contract = self._config, self._contract
        directory = Path(config.episode_dir)
        self._writer = EpisodeWriterThread(
            directory, contract, config.image_compression, config.queue_steps, self._written.trigger
        )
        self._recording = Recording(config, contract, self._writer)
        self._source = ObservationSource(self, contract, sensors(config.sensor_reliability), self._on_sample)
        self._inputs = [
            self.create_subscription(ActionCommand, "command", self._on_command, COMMANDS),
            self.create_subscription(TaskStatus, "task/status", self._on_status, COMMANDS),
        ]
        self._timer = self.create_timer(_POLL_S, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def deactivate(self) -> None:
        self._source.close()
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self.destroy_timer(self._timer)
        self._recording.stop("recorder_stopped", time.monotonic_ns())
        self.close()
        self._on_written()

    def close(self) -> None:
        """Waits until everything is on disk."""
        if self._writer is not None:
            self._writer.close()

    def _on_timer(self) -> None:
        self._recording.advance(time.monotonic_ns())

    def _on_sample(self, stream: str, stamp_ns: int, value) -> None:
        self._recording.on_sample(stream, stamp_ns, value, time.monotonic_ns())

    def _on_command(self, message: ActionCommand) -> None:
        try:
            command = _executed_command(message, self._contract.action.size)
        except (ObservationError, ValueError) as error:
            self.get_logger().error(f"command {message.tick} dropped: {error}", throttle_duration_sec=1.0)
            return
        if not command.is_finite:
            text = f"command {message.tick} refused: values = {command.action.tolist()} must be finite"
            self.get_logger().error(text, throttle_duration_sec=1.0)
        self._recording.on_command(command)

    def _on_status(self, message: TaskStatus) -> None:
        progress = TaskProgress(
            stamp_ns=to_ns(message.header.stamp),
            trial=message.trial,
            seed=message.seed,
            running=message.running,
            success=message.success,
            truncated=message.truncated,
            last_observation_stamp_ns=to_ns(message.last_observation_stamp),
        )
        self._recording.on_progress(progress, time.monotonic_ns(), datetime.now(UTC))

    async def _on_start(self, request: StartEpisode.Request, response: StartEpisode.Response) -> StartEpisode.Response:
        try:
            self._refuse_unless_active()
            response.episode_id = self._recording.begin(
                request.task,
                request.instruction,
                request.operator_name,
                request.seed,
                request.tags,
                datetime.now(UTC),
            )
        except ValueError as error:
            response.message = str(error)
            return response
        event = await self._begun.setdefault(response.episode_id, Future())
        response.accepted, response.message = event.kind is EventKind.STARTED, event.reason
        return response

    async def _on_end(self, request: EndEpisode.Request, response: EndEpisode.Response) -> EndEpisode.Response:
        try:
            self._refuse_unless_active()
            episode = self._recording.request_end(
                parse_outcome(request.outcome),
                request.reason or request.outcome.lower(),
                time.monotonic_ns(),
                truncated=request.truncated,
                until_ns=to_ns(request.until),
            )
        except ValueError as error:
            response.message = "; ".join(filter(None, [str(error), self._last_failure]))
            return response
        event = await self._ended.setdefault(episode, Future())
        wanted = EventKind.DISCARDED if request.outcome == DISCARD else EventKind.SAVED
        response.accepted = event.kind is wanted
        response.path, response.message = str(event.path or ""), event.reason
        return response

    def _refuse_unless_active(self) -> None:
        if not self.is_active:
            raise ValueError("the recorder is not active")

    def _on_written(self) -> None:
        for event in self._writer.events() if self._writer is not None else ():
            header = Header(stamp=self.get_clock().now().to_msg())
            self._event_pub.publish(EpisodeEvent(header=header, **event.message_fields()))
            self._log(event)
            if event.kind is EventKind.FAILED:
                self._recording.abort(event.episode_id)
            futures = [self._begun] if event.kind is EventKind.STARTED else [self._begun, self._ended]
            for waiting in futures:
                if event.episode_id in waiting:
                    waiting.pop(event.episode_id).set_result(event)

    def _log(self, event: WriterEvent) -> None:
        self._last_failure = ""
        if event.kind is EventKind.FAILED:
            self._last_failure = f"episode {event.episode_id} failed: {event.reason}"
            self.get_logger().error(self._last_failure)
        elif event.kind is not EventKind.STARTED:
            losses = ", ".join(f"{name} {count}" for name, count in event.losses.items() if count)
            self.get_logger().info(f"{event.kind} {event.episode_id}: {event.steps} steps, {event.reason}, {losses}")


def _executed_command(message: ActionCommand, size: int) -> ExecutedCommand:
    action = from_floats(message.values, size)
    if action is None:
        raise ValueError("it has no values")
    return ExecutedCommand(
        tick=message.tick,
        stamp_ns=to_ns(message.header.stamp),
        observation_stamp_ns=to_ns(message.observation_stamp),
        chunk_stamp_ns=to_ns(message.chunk_stamp),
        receive_ns=time.monotonic_ns(),
        action=action,
        policy_action=from_floats(message.policy_values, size),
        human_action=from_floats(message.human_values, size),
        source=ControlSource(message.source),
        reason=message.reason,
        adapter_version=message.adapter_version,
    )


def main() -> None:
    """Console script."""
    raise SystemExit(run(RecorderNode))


if __name__ == "__main__":
    main()
