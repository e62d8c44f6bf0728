"""The session's view of the running nodes: blocking calls over topics and services."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping

from rclpy.task import Future
from std_srvs.srv import SetBool

from apo_bringup.session.blocking_node import BlockingNode, Overdue
from apo_bringup.session.conduct import SessionStopped, Update
from apo_bringup.session.plan import SessionConfig, Trial
from apo_bringup.session.readiness import ONE_PUBLISHER, missing_parts, second_publishers, starting_line
from apo_bringup.session.records import (
    INTERRUPTED,
    ReloadWindow,
    TrainingProgress,
    count_ticks,
    end_fields,
    episode_record,
    is_over,
    start_fields,
    trial_line,
)
from apo_bringup.session.report import EpisodeRecord, ReloadRecord, SessionRecord, TrainingRecord
from apo_core.ros.qos import COMMANDS, LATCHED
from apo_interfaces.msg import AdapterStatus, ControlStatus, EpisodeEvent, TaskStatus, TrainerStatus
from apo_interfaces.srv import EndEpisode, LoadAdapter, ResetTask, StartEpisode, StartTraining

_TOPICS = (
    (TaskStatus, "task/status", COMMANDS),
    (ControlStatus, "control/status", COMMANDS),
    (EpisodeEvent, "recorder/event", COMMANDS),
    (AdapterStatus, "policy/adapter_status", LATCHED),
    (TrainerStatus, "trainer/status", LATCHED),
)
_SERVICES = {
    "sim_bridge/reset": ResetTask,
    "recorder/start_episode": StartEpisode,
    "recorder/end_episode": EndEpisode,
    "policy/load_adapter": LoadAdapter,
    "trainer/train": StartTraining,
    "arbiter/enable": SetBool,
    "teleop/enable": SetBool,
}
_END = "recorder/end_episode"
_SAVE_S = 10.0  # an interrupted session waits this long for the recorder


@dataclasses.dataclass(slots=True)
class _Running:
    """The trial in progress."""

    trial: Trial
    adapter_version: int
    started: float
    end: Future | None = None  # answer of recorder/end_episode


class SessionNode(BlockingNode):
    """Drives a session; implements `apo_bringup.session.conduct.Stack`.

    Args:
        config: the plan.
        subscribers: topic -> nodes that must subscribe to it before the first trial.
        check: called while waiting; raises SessionStopped when the session must end.
        config_file: where `config` comes from, for messages.
        realtime: the robot goes on while the scene is reset.
    """

    def __init__(
        self,
        config: SessionConfig,
        subscribers: Mapping[str, Collection[str]],
        check: Callable[[], None],
        config_file: str = "config/session.yaml",
        realtime: bool = False,
    ):
        super().__init__("session", _TOPICS, _SERVICES, config.timeouts(), config_file, check)
        self._config, self._expected, self._realtime = config, subscribers, realtime
        self._running: _Running | None = None

    def _missing(self) -> list[str]:
        serves = AdapterStatus in self._latest
        return missing_parts(self._callable(), serves, self._expected, self._nodes_subscribed(self._expected))

    def wait_ready(self, update: Update) -> None:
        """Waits until every node serves and has its subscriptions, then lets the policy drive.

        Raises:
            SessionStopped: something did not come up, or another stack is in this domain.
        """
        started = time.monotonic()
        missing: list[str] = []

        def ready() -> bool:
            missing[:] = self._missing()
            return not missing

        try:
            self._spin_until(
                ready,
                "start_timeout_s",
                "the start of all nodes",
                lambda: starting_line(time.monotonic() - started, missing),
                update,
            )
        except Overdue as error:
            raise SessionStopped(f"{error}; still waiting for {', '.join(missing)}") from None
        if reason := second_publishers({topic: self.count_publishers(topic) for topic in ONE_PUBLISHER}):
            raise SessionStopped(reason)
        self._ask("arbiter/enable", SetBool.Request(data=True))

    def load_adapter(self, version: int) -> None:
        """Serves an adapter between trials."""
        self._ask("policy/load_adapter", LoadAdapter.Request(version=version))

    def run_trial(self, trial: Trial, adapter_version: int, update: Update) -> EpisodeRecord:
        """One recorded trial from reset to the end of the task."""
        self._ask("teleop/enable", SetBool.Request(data=trial.with_operator))
        running = self._running = _Running(trial, adapter_version, time.monotonic())
        self._ask("recorder/start_episode", StartEpisode.Request(**start_fields(self._config, trial)))
        before = self._latest[TaskStatus].trial if TaskStatus in self._latest else -1
        self._reset(trial.seed)
        self._spin_until(
            lambda: is_over(self._latest.get(TaskStatus), before),
            "trial_timeout_s",
            f"the end of the trial with seed {trial.seed}",
            lambda: trial_line(trial, self._latest.get(TaskStatus), self._latest.get(ControlStatus)),
            update,
        )
        return self._saved(running, EndEpisode.Request(**end_fields(self._latest[TaskStatus])))

    def _reset(self, seed: int) -> None:
        """Resets the scene; in real time the arm is held meanwhile, and no action for the old scene reaches the new.

        In lockstep no tick is between two trials, and the policy resets itself.
        """
        if self._realtime:
            self._ask("arbiter/enable", SetBool.Request(data=False))
        self._ask("sim_bridge/reset", ResetTask.Request(seed=seed))
        if self._realtime:
            self._ask("arbiter/enable", SetBool.Request(data=True))

    def run_reload_trial(self, trial: Trial, version: int, update: Update) -> tuple[EpisodeRecord, ReloadRecord]:
        """One recorded trial in which the adapter is swapped after a few ticks."""
        window, answers = ReloadWindow(), []

        def request() -> None:
            window.request()
            answers.append(self._call("policy/load_adapter", LoadAdapter.Request(version=version)))
            answers[0].add_done_callback(lambda _: window.answer())

        def on_tick(control: ControlStatus) -> None:
            window.add(control)
            if window.is_due:
                request()

        self._followers[ControlStatus] = on_tick
        episode = self.run_trial(trial, self._latest[AdapterStatus].version, update)
        if not window.is_requested:
            request()
        answer = self._answer("policy/load_adapter", answers[0])
        window.answer()  # the callback above may still be waiting for its turn
        self._spin_until(
            lambda: self._latest[AdapterStatus].requested_version == version, "answer_timeout_s", "the adapter status"
        )
        del self._followers[ControlStatus]
        return episode, window.record(version, answer, self._latest[AdapterStatus])

    def _saved(self, running: _Running, request: EndEpisode.Request) -> EpisodeRecord:
        """Ends the recording by `request`, or by an earlier request if there was one."""
        running.end = running.end or self._call(_END, request)
        response = self._accepted(_END, running.end)
        self._spin_until(
            lambda: getattr(self._latest.get(EpisodeEvent), "path", "") == response.path,
            "answer_timeout_s",
            "the recorder's event",
        )
        self._running = None
        seconds = time.monotonic() - running.started
        return episode_record(running.trial, running.adapter_version, self._latest[EpisodeEvent], seconds)

    def end_recording(self) -> EpisodeRecord | None:
        """Saves the episode of an interrupted trial; None where there is none, or no step of it."""
        running, self._running = self._running, None
        if running is None or not self._callable()[_END]:
            return None
        self._wait_only(_SAVE_S)
        try:
            return self._saved(running, EndEpisode.Request(**INTERRUPTED))
        except SessionStopped:
            return None

    def train(self, serving: int, episode_ids: list[str], round_index: int, update: Update) -> TrainingRecord:
        """One training run of the trainer node."""
        started = time.monotonic()
        response = self._ask("trainer/train", StartTraining.Request(serving=serving, episode_ids=episode_ids))
        progress = TrainingProgress(response.run_id, round_index, response.parent)
        progress.add(self._latest.get(TrainerStatus))
        self._followers[TrainerStatus] = progress.add
        what = f"the end of training run {response.run_id}"
        self._spin_until(lambda: progress.is_over, "training_timeout_s", what, progress.line, update)
        del self._followers[TrainerStatus]
        return progress.record(time.monotonic() - started)

    def measure(self, record: SessionRecord) -> None:
        """What the arbiter has counted since it became active."""
        count_ticks(record, self._latest.get(ControlStatus))
