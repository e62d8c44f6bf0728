"""Trainer node: starts a training on request or after every N episodes, reports its progress."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from apo_core.adapter_store import AdapterStore
from apo_core.errors import ApoError
from apo_core.ros.node_main import run
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, LATCHED
from apo_interfaces.msg import EpisodeEvent, TrainerStatus
from apo_interfaces.srv import StartTraining
from apo_trainer.config import TrainerConfig
from apo_trainer.training_process import TrainingProcess

_POLL_S = 0.1
# the program's last word -> TrainerStatus.state
_STATES = {"PUBLISHED": TrainerStatus.PUBLISHED, "REFUSED": TrainerStatus.REFUSED}


class TrainerNode(Node):
    """Service `~/train`, latched topic `~/status`; counts the recorder's saved episodes."""

    def __init__(self):
        super().__init__("trainer")
        self._config = declare(self, TrainerConfig)
        self._store = AdapterStore(self._config.adapter_dir)
        self._process: TrainingProcess | None = None
        self._new_episodes = 0
        self._step = 0
        self._status = self.create_publisher(TrainerStatus, "~/status", LATCHED)
        self.create_service(StartTraining, "~/train", self._on_train)
        self.create_subscription(EpisodeEvent, "recorder/event", self._on_episode, COMMANDS)
        # simulated time stands still between trials, training goes on
        self.create_timer(_POLL_S, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._publish(TrainerStatus.IDLE, "", message="ready")

    def _on_train(self, request: StartTraining.Request, response: StartTraining.Response) -> StartTraining.Response:
        accepted, response.run_id, response.message = self._start(request.parent, list(request.episode_ids))
        response.accepted = accepted
        return response

    def _on_episode(self, event: EpisodeEvent) -> None:
        if event.event == EpisodeEvent.SAVED:
            self._new_episodes += 1

    def _on_timer(self) -> None:
        if self._process is not None:
            self._follow(self._process)
        due = 0 < self._config.every_n_episodes <= self._new_episodes
        if due and self._process is None:
            count, self._new_episodes = self._new_episodes, 0
            self.get_logger().info(f"{count} new episodes: training")
            try:
                self._start(self._store.latest(), [])
            except ApoError as error:
                self._publish(TrainerStatus.FAILED, "", message=str(error))

    def _start(self, parent: int, episode_ids: list[str]) -> tuple[bool, str, str]:
        """Starts a run: whether it did, its name, and why not."""
        if self._process is not None:
            return False, self._process.run_id, f"run {self._process.run_id} is still training; wait for its end"
        try:
            if parent and parent not in self._store.versions():
                return False, "", f"parent = {parent} is not in the adapter store {self._config.adapter_dir}"
            run_id = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + f"-from-{parent}"
            self._process = TrainingProcess(self._config, parent, episode_ids, run_id)
        except (ApoError, OSError) as error:
            self.get_logger().error(f"training cannot start: {error}")
            return False, "", f"training cannot start: {error}"
        self._step = 0
        self.get_logger().info(f"run {run_id} started from adapter {parent} (process {self._process.pid})")
        self._publish(TrainerStatus.RUNNING, run_id, steps=self._config.steps, message="starting")
        return True, run_id, f"training from adapter {parent}"

    def _follow(self, process: TrainingProcess) -> None:
        for message in process.poll():
            event = message.get("event")
            if event == "progress":
                self._step = message["step"]
                self._publish(
                    TrainerStatus.RUNNING,
                    process.run_id,
                    step=self._step,
                    steps=message["steps"],
                    loss=message["loss"],
                    eta_s=message["eta_s"],
                    message="training" if message["step"] < message["steps"] else "judging",
                )
            elif event == "result":
                self._finish(process, message)

    def _finish(self, process: TrainingProcess, result: dict) -> None:
        process.join()
        self._process = None
        state = _STATES.get(result["state"], TrainerStatus.FAILED)
        log = self.get_logger().error if state == TrainerStatus.FAILED else self.get_logger().info
        log(f"run {process.run_id}: {result['state']}: {result['message']}")
        self._publish(
            state,
            process.run_id,
            step=max(self._step, result["steps"]),
            steps=process.steps,
            loss=(result.get("metrics") or {}).get("loss", math.nan),
            eta_s=0.0,
            version=result["version"] or 0,
            message=result["message"],
        )

    def _publish(
        self,
        state: str,
        run_id: str,
        step: int = 0,
        steps: int = 0,
        loss: float = math.nan,
        eta_s: float = math.nan,
        version: int = 0,
        message: str = "",
    ) -> None:
        status = TrainerStatus(state=state, run_id=run_id, step=step, steps=steps, adapter_version=version)
        status.header.stamp = self.get_clock().now().to_msg()
        status.loss, status.eta_s, status.message = float(loss), float(eta_s), message
        self._status.publish(status)

    def close(self) -> None:
        """Ends a run in progress; nothing of it is published to the store."""
        if self._process is None:
            return
        self.get_logger().warning(f"run {self._process.run_id} is stopped because the trainer node ends")
        self._process.stop()
        for message in self._process.poll():
            if message.get("event") == "result":
                self._finish(self._process, message)
                break


def main() -> None:
    raise SystemExit(run(TrainerNode))
