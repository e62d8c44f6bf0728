"""Trainer node: starts trainings on request, by episode count or by the clock, and reports their progress."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_srvs.srv import Trigger

from apo_core.adapters.manifest import policy_name
from apo_core.adapters.store import AdapterStore
from apo_core.errors import ApoError
from apo_core.ros.diagnostics import ERROR, OK, WARN, diagnostic_array
from apo_core.ros.node_runner import run
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, LATCHED
from apo_core.ros.second_stack import second_publisher
from apo_core.system.freed_memory import return_large_blocks
from apo_interfaces.msg import EpisodeEvent, TrainerStatus
from apo_interfaces.srv import StartTraining
from apo_trainer.config import TrainerConfig
from apo_trainer.data.episode_checks import CHECKS_FILE, EpisodeChecks
from apo_trainer.runs.files import run_id_at
from apo_trainer.service.episode_watch import EpisodeWatch
from apo_trainer.service.new_episodes import NewEpisodes
from apo_trainer.service.schedule import Triggers, parse_times
from apo_trainer.service.status import RunStatus, of_progress, of_result, of_start
from apo_trainer.service.training_process import TrainingProcess
from apo_trainer.states import TrainerState

_POLL_S = 0.1
_USED_FILE = "used_episodes.json"  # in run_dir


class TrainerNode(Node):
    """Services `~/train` and `~/cancel`, latched topic `~/status`, diagnostics; one run at a time."""

    def __init__(self) -> None:
        super().__init__("trainer")
        config = self._config = declare(self, TrainerConfig)
        self._store = AdapterStore(config.adapter_dir)
        self._process: TrainingProcess | None = None
        times = parse_times(config.train_at)
        self._triggers = Triggers(
            config.every_n_episodes, config.train_every_s, times, time.monotonic(), datetime.now()
        )
        run_dir = Path(config.run_dir)
        self._new_episodes = NewEpisodes(
            Path(config.episode_dir), run_dir / _USED_FILE, EpisodeChecks(run_dir / CHECKS_FILE)
        )
        self._watch = EpisodeWatch(self._new_episodes, config.look_s, config.niceness, self.get_logger().warning)
        self._status = self.create_publisher(TrainerStatus, "~/status", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", COMMANDS)
        self.create_service(StartTraining, "~/train", self._on_train)
        self.create_service(Trigger, "~/cancel", self._on_cancel)
        self.create_subscription(EpisodeEvent, "recorder/event", self._on_episode, COMMANDS)
        # simulated time stands still between trials, training goes on
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_POLL_S, self._on_timer, clock=steady)
        self.create_timer(1.0, self._publish_diagnostics, clock=steady)
        self._publish_status(RunStatus(TrainerState.IDLE, message="ready"))
        self._watch.start()

    def _on_train(self, request: StartTraining.Request, response: StartTraining.Response) -> StartTraining.Response:
        accepted, response.run_id, response.message = self._start(
            request.serving, list(request.episode_ids), "on request"
        )
        response.accepted, response.parent = accepted, self._config.training.parent_of(request.serving)
        return response

    def _on_cancel(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._process is not None
        if self._process is None:
            response.message = "no run is training"
            return response
        self._process.cancel(time.monotonic())
        response.message = f"run {self._process.run_id} is cancelled; nothing of it is published"
        return response

    def _on_episode(self, event: EpisodeEvent) -> None:
        if event.event == EpisodeEvent.SAVED:
            self._watch.wake()

    def _on_timer(self) -> None:
        if self._process is not None:
            self._forward_progress(self._process)
            return
        reason = self._triggers.due(time.monotonic(), datetime.now(), self._new_episodes.new)
        if not reason:
            return
        self.get_logger().info(f"{reason}: training")
        try:
            accepted, run_id, message = self._start(self._store.promotion().number, [], reason)
        except ApoError as error:
            accepted, run_id, message = False, "", str(error)
        if not accepted:
            self._triggers.failed(time.monotonic())
            self._publish_status(RunStatus(TrainerState.FAILED, run_id, message=message))

    def _start(self, serving: int, episode_ids: list[str], reason: str) -> tuple[bool, str, str]:
        """Starts a run: whether it did, its name, and why not."""
        if self._process is not None:
            return False, self._process.run_id, f"run {self._process.run_id} is still training; wait for its end"
        try:
            if serving and serving not in self._store.versions():
                return False, "", f"serving = {serving} is not in the adapter store {self._config.adapter_dir}"
            parent = self._config.training.parent_of(serving)
            run_id = f"{run_id_at(datetime.now(UTC))}-from-{parent}"
            self._process = TrainingProcess(self._config, serving, episode_ids, run_id)
        except (ApoError, OSError) as error:
            self.get_logger().error(f"training cannot start: {error}")
            return False, "", f"training cannot start: {error}"
        try:
            self._new_episodes.take(episode_ids)
        except (ApoError, OSError) as error:
            self.get_logger().warning(f"after a restart the same episodes count as new again: {error}")
        self._triggers.started(time.monotonic())
        start = f"from {policy_name(parent)}, to replace {policy_name(serving)}"
        self.get_logger().info(f"run {run_id} started {start} (process {self._process.pid}), {reason}")
        self._publish_status(
            RunStatus(TrainerState.RUNNING, run_id, steps=self._config.training.steps, message=f"starting: {reason}")
        )
        return True, run_id, f"training {start}"

    def _forward_progress(self, process: TrainingProcess) -> None:
        for message in process.poll(time.monotonic()):
            event = message.get("event")
            if event == "start":
                self._publish_status(of_start(process.run_id, message))
            elif event == "progress":
                self._publish_status(of_progress(process.run_id, message))
            elif event == "note":
                self.get_logger().warning(f"run {process.run_id}: {message['text']}")
            elif event == "result":
                self._finish(process, message)

    def _finish(self, process: TrainingProcess, result: dict) -> None:
        process.join()
        self._process = None
        status = of_result(process.run_id, result, self._latest.step, self._latest.steps)
        text = f"run {process.run_id}: {result['state']}: {result['message']}"
        # rclpy allows one severity for each line of code
        if status.state == TrainerState.FAILED:
            self.get_logger().error(text)
        else:
            self.get_logger().info(text)
        self._publish_status(status)

    def _publish_status(self, status: RunStatus) -> None:
        self._latest = status
        message = TrainerStatus(
            state=status.state,
            run_id=status.run_id,
            step=status.step,
            steps=status.steps,
            loss=float(status.loss),
            eta_s=float(status.eta_s),
            adapter_version=status.version,
            message=status.message,
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(message)

    def _publish_diagnostics(self) -> None:
        latest, rejected = self._latest, self._new_episodes.rejected
        fault = self._watch.fault or (f"{len(rejected)} episode files are rejected" if rejected else "")
        level, text = (WARN, fault) if fault else (OK, latest.state)
        if latest.state == TrainerState.FAILED:
            level, text = ERROR, latest.message
        if second := second_publisher(self, "~/status"):
            level, text = ERROR, second
            self.get_logger().error(second, throttle_duration_sec=10.0)
        values = {
            **latest.summary(),
            "new_episodes": str(self._new_episodes.new),
            "every_n_episodes": str(self._config.every_n_episodes),
            "rejected": str(len(rejected)),
            **{f"rejected {path.name}": reason for path, reason in list(rejected.items())[:10]},
        }
        self._diagnostics.publish(diagnostic_array(self, level, text, values))

    def close(self) -> None:
        """Ends a run in progress; nothing of it is published to the store."""
        self._watch.stop()
        if self._process is None:
            return
        self.get_logger().warning(f"run {self._process.run_id} is stopped because the trainer node ends")
        self._process.stop()
        for message in self._process.poll(time.monotonic()):
            if message.get("event") == "result":
                self._finish(self._process, message)
                break


def main() -> None:
    return_large_blocks()
    raise SystemExit(run(TrainerNode))
