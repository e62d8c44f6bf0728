"""The session's view of the running nodes: blocking calls over topics and services."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import SetBool

from apo_bringup.report import EpisodeRecord, ReloadRecord, SessionRecord, TrainingRecord
from apo_bringup.session import SessionStopped, Update
from apo_bringup.session_plan import SessionConfig, Trial
from apo_core.ros.qos import COMMANDS, LATCHED
from apo_interfaces.msg import AdapterStatus, ControlStatus, EpisodeEvent, TaskStatus, TrainerStatus
from apo_interfaces.srv import EndEpisode, LoadAdapter, ResetTask, StartEpisode, StartTraining

_TICKS_BEFORE_RELOAD = 5
_ONE_PUBLISHER = ("task/status", "command", "policy/chunk", "trainer/status")


class SessionNode(Node):
    """Drives a session; implements `apo_bringup.session.Stack`.

    Args:
        config: the plan.
        check: called while waiting; raises SessionStopped when the session must end.
    """

    def __init__(self, config: SessionConfig, check: Callable[[], None]):
        super().__init__("session")
        self._config, self._check = config, check
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._latest: dict[type, Any] = {}
        self._control: list[ControlStatus] = []
        for kind, topic, qos in (
            (TaskStatus, "task/status", COMMANDS),
            (ControlStatus, "control/status", COMMANDS),
            (EpisodeEvent, "recorder/event", COMMANDS),
            (AdapterStatus, "policy/adapter_status", LATCHED),
            (TrainerStatus, "trainer/status", LATCHED),
        ):
            self.create_subscription(kind, topic, self._store, qos)
        self._service_clients: dict[str, Client] = {
            name: self.create_client(kind, name)
            for kind, name in (
                (ResetTask, "sim_bridge/reset"),
                (StartEpisode, "recorder/start_episode"),
                (EndEpisode, "recorder/end_episode"),
                (LoadAdapter, "policy/load_adapter"),
                (StartTraining, "trainer/train"),
                (SetBool, "arbiter/enable"),
                (SetBool, "teleop/enable"),
            )
        }

    def _store(self, message: Any) -> None:
        self._latest[type(message)] = message
        if isinstance(message, ControlStatus):
            self._control.append(message)

    def _spin_until(
        self, condition: Callable[[], bool], timeout_s: float, what: str, update: Callable[[], None] | None = None
    ):
        deadline, shown = time.monotonic() + timeout_s, 0.0
        while not condition():
            self._check()
            if time.monotonic() > deadline:
                raise SessionStopped(f"{what} did not happen within {timeout_s:.0f} s")
            self._executor.spin_once(timeout_sec=0.05)
            if update is not None and time.monotonic() - shown > 0.1:
                update()
                shown = time.monotonic()

    def _call(self, name: str, request: Any, timeout_s: float = 30.0) -> Any:
        future = self._service_clients[name].call_async(request)
        self._spin_until(future.done, timeout_s, f"the answer of service '{name}'")
        return future.result()

    def _accepted(self, name: str, request: Any, timeout_s: float = 30.0) -> Any:
        response = self._call(name, request, timeout_s)
        accepted = response.success if hasattr(response, "success") else response.accepted
        if not accepted:
            raise SessionStopped(f"service '{name}' refused: {response.message}")
        return response

    def wait_ready(self, timeout_s: float, update: Update) -> None:
        """Waits for every service of the stack and for the policy to serve, then lets the policy drive.

        Raises:
            SessionStopped: something did not come up.
        """
        started = time.monotonic()

        def missing() -> list[str]:
            names = [name for name, client in self._service_clients.items() if not client.service_is_ready()]
            return names or ([] if AdapterStatus in self._latest else ["policy/adapter_status"])

        self._spin_until(
            lambda: not missing(),
            timeout_s,
            "the start of all nodes",
            lambda: update(
                f"starting the nodes, {time.monotonic() - started:.0f} s; waiting for {', '.join(missing())}"
            ),
        )
        double = [topic for topic in _ONE_PUBLISHER if self.count_publishers(topic) > 1]
        if double:
            raise SessionStopped(
                f"{', '.join(double)} come from more than one node: another stack runs in this ROS domain; "
                "stop it, or set another ROS_DOMAIN_ID"
            )
        self._accepted("arbiter/enable", SetBool.Request(data=True))

    def load_adapter(self, version: int) -> None:
        """Serves an adapter between trials."""
        self._accepted("policy/load_adapter", LoadAdapter.Request(version=version), 60.0)

    def run_trial(self, trial: Trial, adapter_version: int, update: Update) -> EpisodeRecord:
        """One recorded trial from reset to the end of the task."""
        return self._trial(trial, adapter_version, update, lambda: None)

    def run_reload_trial(self, trial: Trial, version: int, update: Update) -> tuple[EpisodeRecord, ReloadRecord]:
        """One recorded trial in which the adapter is swapped after a few ticks."""
        serving = self._latest[AdapterStatus].version
        first = len(self._control)
        request: dict[str, Any] = {}

        def on_spin() -> None:
            ticks = self._control[first:]
            if "future" not in request and len(ticks) >= _TICKS_BEFORE_RELOAD:
                request["begin"] = ticks[-1]
                request["future"] = self._service_clients["policy/load_adapter"].call_async(
                    LoadAdapter.Request(version=version)
                )
            if "future" in request and "end" not in request and request["future"].done():
                request["end"] = len(self._control)

        episode = self._trial(trial, serving, update, on_spin)
        self._spin_until(lambda: "future" in request and request["future"].done(), 60.0, "the reload", on_spin)
        on_spin()
        self._spin_until(lambda: self._latest[AdapterStatus].requested_version == version, 10.0, "the adapter status")
        response, status = request["future"].result(), self._latest[AdapterStatus]
        last = self._control[min(request["end"], len(self._control) - 1)]
        begin, window = request["begin"], self._control[first:]
        return episode, ReloadRecord(
            version=version,
            accepted=response.accepted,
            message=response.message,
            ticks=last.tick - begin.tick + 1,
            ticks_missed=last.ticks_missed - begin.ticks_missed,
            stage_ms=status.stage_ms,
            swap_ms=status.swap_ms,
            response_max_ms=max(tick.response_ms for tick in window if begin.tick <= tick.tick <= last.tick),
        )

    def _trial(self, trial: Trial, adapter_version: int, update: Update, on_spin: Callable[[], None]) -> EpisodeRecord:
        started = time.monotonic()
        self._accepted("teleop/enable", SetBool.Request(data=trial.with_operator))
        self._accepted(
            "recorder/start_episode",
            StartEpisode.Request(
                task=self._config.task,
                instruction=self._config.instruction,
                operator_name="scripted" if trial.with_operator else "",
                seed=trial.seed,
                tags=trial.tags(),
            ),
        )
        before = self._latest[TaskStatus].trial if TaskStatus in self._latest else -1
        self._accepted("sim_bridge/reset", ResetTask.Request(seed=trial.seed), 60.0)

        def over() -> bool:
            on_spin()
            status = self._latest.get(TaskStatus)
            return status is not None and status.trial > before and not status.running

        def show() -> None:
            status, control = self._latest.get(TaskStatus), self._latest.get(ControlStatus)
            if status is not None and control is not None:
                update(
                    f"  {trial.purpose} {trial.index + 1}  step {status.step:>3}  {control.state:<6} ({control.reason})"
                    f"  adapter {control.adapter_version}  missed {control.ticks_missed}"
                )

        self._spin_until(over, self._config.trial_timeout_s, f"the end of the trial with seed {trial.seed}", show)
        status = self._latest[TaskStatus]
        response = self._accepted(
            "recorder/end_episode",
            EndEpisode.Request(
                outcome="SUCCESS" if status.success else "FAILURE",
                reason="task_success" if status.success else "step_limit",
                truncated=status.truncated,
                until=status.last_observation_stamp,
            ),
        )
        self._spin_until(
            lambda: getattr(self._latest.get(EpisodeEvent), "path", "") == response.path, 10.0, "the recorder's event"
        )
        event = self._latest[EpisodeEvent]
        return EpisodeRecord(
            episode_id=event.episode_id,
            path=event.path,
            purpose=trial.purpose,
            round=trial.round,
            seed=trial.seed,
            adapter_version=adapter_version,
            success=status.success,
            steps=event.steps,
            takeovers=event.takeovers,
            intervention_share=event.intervention_share,
            frames_recorded=event.frames_recorded,
            frames_lost=event.frames_lost,
            seconds=time.monotonic() - started,
        )

    def train(self, parent: int, episode_ids: list[str], round_index: int, update: Update) -> TrainingRecord:
        """One training run of the trainer node."""
        started = time.monotonic()
        response = self._accepted("trainer/train", StartTraining.Request(parent=parent, episode_ids=episode_ids))
        losses: dict[int, float] = {}

        def status() -> TrainerStatus | None:
            latest = self._latest.get(TrainerStatus)
            if latest is None or latest.run_id != response.run_id:
                return None
            if latest.step and math.isfinite(latest.loss):
                losses[latest.step] = latest.loss
            return latest

        def over() -> bool:
            latest = status()
            return latest is not None and latest.state not in (TrainerStatus.RUNNING, TrainerStatus.IDLE)

        def show() -> None:
            latest = status()
            if latest is not None:
                eta = "" if math.isnan(latest.eta_s) else f"  {latest.eta_s:.0f} s left"
                update(f"  training  step {latest.step}/{latest.steps}  loss {latest.loss:.4f}{eta}  {latest.message}")

        self._spin_until(over, self._config.training_timeout_s, f"the end of training run {response.run_id}", show)
        final = status()
        return TrainingRecord(
            round=round_index,
            run_id=response.run_id,
            state=final.state,
            message=final.message,
            adapter_version=final.adapter_version,
            steps=final.step,
            seconds=time.monotonic() - started,
            losses=tuple(sorted(losses.items())),
        )

    def measure(self, record: SessionRecord) -> None:
        """What the arbiter has counted since it became active."""
        status = self._latest.get(ControlStatus)
        if status is None:
            return
        record.ticks, record.ticks_missed = status.tick, status.ticks_missed
        if not math.isnan(status.takeover_latency_p50_ms):
            record.takeover_latency_p50_ms = status.takeover_latency_p50_ms
            record.takeover_latency_p99_ms = status.takeover_latency_p99_ms

    def end_recording(self) -> None:
        """Saves an episode that is being recorded; for an early end of the session."""
        client = self._service_clients["recorder/end_episode"]
        if client.service_is_ready():
            future = client.call_async(
                EndEpisode.Request(outcome="UNLABELED", reason="session_stopped", truncated=True)
            )
            deadline = time.monotonic() + 10.0
            while not future.done() and time.monotonic() < deadline:
                self._executor.spin_once(timeout_sec=0.05)
