"""The recorder as a ROS node: every executed command with its observation, one file an episode."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.task import Future
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from apo_core.contract.contract import load_contract
from apo_core.errors import ConfigError, ObservationError
from apo_core.ros.conversions import to_ns, to_stamp
from apo_core.ros.diagnostics import ERROR, diagnostic_array
from apo_core.ros.lifecycle import LifecycleBase
from apo_core.ros.node_runner import run
from apo_core.ros.observation_subscriber import ObservationSubscriber
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_core.ros.second_stack import second_publisher
from apo_core.system.freed_memory import return_large_blocks
from apo_core.types import OperatorEvent, Outcome
from apo_interfaces.msg import ActionCommand, EpisodeEvent, OperatorCommand, OperatorLedger, TaskStatus
from apo_interfaces.srv import EndEpisode, StartEpisode
from apo_recorder.config import RecorderConfig
from apo_recorder.recording import Recording
from apo_recorder.requests import DISCARD, parse_outcome
from apo_recorder.ros.background_link import BackgroundLink
from apo_recorder.ros.command_message import command_from_msg, progress_from_msg
from apo_recorder.ros.health import health_of
from apo_recorder.ros.ledger_message import ledger_to_msg
from apo_recorder.running_ledger import RunningLedger
from apo_recorder.writer_thread import EpisodeWriterThread, EventKind, WriterEvent

_POLL_S = 0.02


class RecorderNode(LifecycleBase):
    """Converts messages for `Recording`; the writer's thread signals its events with a guard condition."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self._config = declare(self, RecorderConfig)
        self._background = BackgroundLink(self, self._config)
        self._writer: EpisodeWriterThread | None = None
        self._last_failure = ""
        self._begun: dict[str, Future] = {}  # episode id -> answer of ~/start_episode
        self._ended: dict[str, Future] = {}  # episode id -> answer of ~/end_episode
        self._undone: list[Future] = []  # answers of ~/undo_last, oldest first
        self._diagnostics_pub = self.create_publisher(DiagnosticArray, "/diagnostics", COMMANDS)
        self.create_timer(1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._event_pub = self.create_publisher(EpisodeEvent, "recorder/event", COMMANDS)
        self._ledger = RunningLedger()
        self._ledger_pub = self.create_publisher(OperatorLedger, "recorder/ledger", LATCHED)
        self._publish_ledger()
        self._written = self.create_guard_condition(self._on_written)
        waiting = ReentrantCallbackGroup()  # a service that waits for the disk would block its group
        self.create_service(StartEpisode, "~/start_episode", self._on_start, callback_group=waiting)
        self.create_service(EndEpisode, "~/end_episode", self._on_end, callback_group=waiting)
        self.create_service(Trigger, "~/undo_last", self._on_undo, callback_group=waiting)

    def configure(self) -> None:
        self._contract = load_contract(self._config.contract_file)
        self._background.check()
        try:
            Path(self._config.episode_dir).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                "config/recorder.yaml", [f"episode_dir = {self._config.episode_dir!r}: {error}"]
            ) from None

    def activate(self) -> None:
        config, contract = self._config, self._contract
        storage = contract, config.recorded_compression, config.queue_steps, self._written.trigger
        self._writer = EpisodeWriterThread(Path(config.episode_dir), *storage, jpeg_quality=config.jpeg_quality)
        self._recording = Recording(config, contract, self._writer, self._on_ended)
        qos, rejected = sensors(config.sensor_reliability), self._recording.on_rejected
        self._source = ObservationSubscriber(self, contract, qos, self._on_sample, rejected)
        inputs = [(ActionCommand, "command", self._on_command), (TaskStatus, "task/status", self._on_status)]
        if config.buttons:
            inputs.append((OperatorCommand, "operator/command", self._on_operator))
        self._inputs = [self.create_subscription(*each, COMMANDS) for each in inputs]
        self._timer = self.create_timer(_POLL_S, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._background.start()

    def deactivate(self) -> None:
        self._background.stop()
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

    def _look_for_second(self) -> None:
        """Two recorders, or the commands of two arbiters, make episodes that nobody can use."""
        self._recording.rejection = second_publisher(self, "recorder/event", "command")

    def _on_timer(self) -> None:
        self._recording.advance(time.monotonic_ns())

    def _publish_diagnostics(self) -> None:
        if not self.is_active or self._writer is None:
            return
        drops = asdict(self._recording.drops)
        values = {"episode": self._recording.episode_id, "steps_waiting": str(self._writer.waiting_steps)}
        values |= {name: str(count) for name, count in drops.items()}
        values["clock_steps"] = str(self._recording.clock_steps)
        rejections = self._writer.rejections if self._recording.episode_id else {}
        values |= {f"rejected {why}": str(count) for why, count in rejections.items()}
        values |= {f"lost {why}": str(count) for why, count in self._recording.causes.items()}
        self._look_for_second()
        lost = [*self._recording.causes, *filter(None, [self._recording.silence(time.monotonic_ns())])]
        loses = bool(self._recording.episode_id) and any(drops.values())
        health = health_of(
            loses, self._source.faults(), self._recording.frozen, list(rejections), self._recording.rejection, lost
        )
        # rclpy allows one severity for each line of code
        for line in health.warnings:
            self.get_logger().warning(line, throttle_duration_sec=10.0)
        if health.level == ERROR:
            self.get_logger().error(health.text, throttle_duration_sec=10.0)
        array = diagnostic_array(self, health.level, health.text, values)
        array.status = [*array.status, *self._background.statuses(time.monotonic())]
        self._diagnostics_pub.publish(array)

    def _on_sample(self, stream: str, stamp_ns: int, value: np.ndarray) -> None:
        if self._recording.on_sample(stream, stamp_ns, value, time.monotonic_ns()):
            self._source.formed()

    def _on_command(self, message: ActionCommand) -> None:
        try:
            command = command_from_msg(message, self._contract.action.size, time.monotonic_ns())
        except (ObservationError, ValueError) as error:
            self.get_logger().error(f"command {message.tick} dropped: {error}", throttle_duration_sec=1.0)
            self._recording.on_rejected_command(str(error))
            return
        if not command.is_finite:
            self.get_logger().error(f"command {message.tick} rejected: not finite", throttle_duration_sec=1.0)
        self._recording.on_command(command)

    def _on_operator(self, message: OperatorCommand) -> None:
        for event in OperatorEvent.known(message.events):
            fault = self._recording.on_operator_event(event, time.monotonic_ns(), datetime.now(UTC))
            if fault:
                self.get_logger().warning(f"button {event}: {fault}")

    def _on_status(self, message: TaskStatus) -> None:
        self._recording.on_progress(progress_from_msg(message), time.monotonic_ns(), datetime.now(UTC))

    async def _on_start(self, request: StartEpisode.Request, response: StartEpisode.Response) -> StartEpisode.Response:
        try:
            self._reject_unless_active()
            self._look_for_second()
            texts = request.task, request.instruction, request.operator_name
            response.episode_id = self._recording.begin(*texts, request.seed, request.tags, datetime.now(UTC))
        except ValueError as error:
            response.message = str(error)
            return response
        event = await self._begun.setdefault(response.episode_id, Future())
        response.accepted, response.message = event.kind is EventKind.STARTED, event.reason
        return response

    async def _on_end(self, request: EndEpisode.Request, response: EndEpisode.Response) -> EndEpisode.Response:
        try:
            self._reject_unless_active()
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

    async def _on_undo(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if not self.is_active or self._writer is None:
            response.message = "the recorder is not active"
            return response
        self._undone.append(Future())
        self._writer.undo()
        event = await self._undone[-1]
        response.success = event.kind is EventKind.DISCARDED
        response.message = f"{event.episode_id}: {event.reason}".removeprefix(": ")
        return response

    def _reject_unless_active(self) -> None:
        if not self.is_active:
            raise ValueError("the recorder is not active")

    def _on_ended(self, episode_id: str, reason: str) -> None:
        header = Header(stamp=self.get_clock().now().to_msg())
        event = EpisodeEvent(header=header, event=EpisodeEvent.ENDED, episode_id=episode_id, reason=reason)
        event.outcome = str(Outcome.UNLABELED)
        self._event_pub.publish(event)

    def _count(self, event: WriterEvent) -> None:
        if event.watched is not None:
            count = self._ledger.take_back if event.is_undo else self._ledger.add
            count(event.episode_id, event.watched)
            self._publish_ledger()

    def _publish_ledger(self) -> None:
        self._ledger_pub.publish(ledger_to_msg(self._ledger, Header(stamp=self.get_clock().now().to_msg())))

    def _on_written(self) -> None:
        for event in self._writer.events() if self._writer is not None else ():
            header, begin = Header(stamp=self.get_clock().now().to_msg()), to_stamp(event.begin_ns)
            self._event_pub.publish(EpisodeEvent(header=header, begin=begin, **event.message_fields()))
            self._count(event)
            self._last_failure = ""
            if event.kind is EventKind.FAILED:
                self._last_failure = f"episode {event.episode_id} failed: {event.reason}"
                self.get_logger().error(event.text)
                self._recording.abort(event.episode_id)
            else:
                self.get_logger().info(event.text)
            if event.is_undo:
                if self._undone:
                    self._undone.pop(0).set_result(event)
                continue
            futures = [self._begun] if event.kind is EventKind.STARTED else [self._begun, self._ended]
            for waiting in futures:
                if event.episode_id in waiting:
                    waiting.pop(event.episode_id).set_result(event)


def main() -> None:
    """Console script."""
    return_large_blocks()
    raise SystemExit(run(RecorderNode))


if __name__ == "__main__":
    main()
