"""The recorder as a process over DDS: what a scripted robot and arbiter send is in the files, losses are counted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image, JointState

from apo_core.contract import Contract
from apo_core.episode_file import Episode, list_episodes, read_episode
from apo_core.ros.conversions import array_to_pose, image_to_msg, to_floats, to_stamp
from apo_core.ros.qos import COMMANDS, sensors
from apo_core.types import ControlSource, EpisodeOutcome, Outcome
from apo_interfaces.msg import ActionCommand, EpisodeEvent, TaskStatus
from apo_interfaces.srv import EndEpisode, StartEpisode

WAIT_S = 30.0  # limit of a wait for something that will come
PERIOD_NS = 100_000_000
POLICY, HUMAN, HOLD = ControlSource.POLICY, ControlSource.HUMAN, ControlSource.HOLD


class Cell:
    """Robot, arbiter and driver in one: publishes ticks, calls the recorder, listens to its events."""

    def __init__(self, make_observation):
        self.node = rclpy.create_node("cell")
        self._observation = make_observation
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.events: list[EpisodeEvent] = []
        qos = sensors("reliable")
        self._image = self.node.create_publisher(Image, "front/image_raw", qos)
        self._pose = self.node.create_publisher(PoseStamped, "ee_pose", qos)
        self._gripper = self.node.create_publisher(JointState, "gripper/joint_states", qos)
        self._command = self.node.create_publisher(ActionCommand, "command", COMMANDS)
        self._status = self.node.create_publisher(TaskStatus, "task/status", COMMANDS)
        self._publishers = (self._image, self._pose, self._gripper, self._command, self._status)
        self.node.create_subscription(EpisodeEvent, "recorder/event", self.events.append, COMMANDS)
        self._start = self.node.create_client(StartEpisode, "recorder/start_episode")
        self._end = self.node.create_client(EndEpisode, "recorder/end_episode")

    def spin_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, "what was waited for did not come"
            self._executor.spin_once(timeout_sec=0.05)

    def wait_connected(self) -> None:
        self.spin_until(
            lambda: (
                all(publisher.get_subscription_count() for publisher in self._publishers)
                and self.node.count_publishers("recorder/event")
                and self._start.service_is_ready()
                and self._end.service_is_ready()
            )
        )

    def observe(self, tick: int) -> None:
        observation = self._observation(tick * PERIOD_NS)
        stamp = to_stamp(tick * PERIOD_NS)
        pose = PoseStamped(pose=array_to_pose(observation.state["ee_pose"]))
        gripper = JointState(name=["finger"], position=observation.state["width"].astype(float).tolist())
        pose.header.stamp = gripper.header.stamp = stamp
        self._pose.publish(pose)
        self._gripper.publish(gripper)
        self._image.publish(image_to_msg(observation.images["front"], tick * PERIOD_NS, "front"))

    def command(self, tick: int, source: ControlSource = POLICY, fill: float | None = None) -> None:
        stamp = to_stamp(tick * PERIOD_NS)
        action = np.full(7, tick / 1000 if fill is None else fill, np.float32)
        message = ActionCommand(
            tick=tick,
            values=to_floats(action),
            source=source.value,
            reason=f"tick {tick}",
            observation_stamp=stamp,
            chunk_stamp=stamp,
            policy_values=to_floats(None if source is HOLD else -action),
            human_values=to_floats(action if source is HUMAN else None),
            adapter_version=4,
        )
        message.header.stamp = stamp
        self._command.publish(message)

    def tick(self, tick: int, source: ControlSource = POLICY) -> None:
        self.observe(tick)
        self.command(tick, source)

    def status(self, tick: int, trial: int, running: bool, **fields) -> None:
        message = TaskStatus(trial=trial, seed=60 + trial, running=running, **fields)
        message.header.stamp = to_stamp(tick * PERIOD_NS)
        self._status.publish(message)

    def start(self, **fields) -> StartEpisode.Response:
        request = StartEpisode.Request(task="Lift", instruction="lift it", operator_name="ann", seed=5, **fields)
        future = self._start.call_async(request)
        self.spin_until(future.done)
        return future.result()

    def end_async(self, outcome: str = "SUCCESS", until: int = 0, **fields) -> rclpy.Future:
        request = EndEpisode.Request(outcome=outcome, reason="told", until=to_stamp(until * PERIOD_NS), **fields)
        return self._end.call_async(request)

    def end(self, *args, **fields) -> EndEpisode.Response:
        future = self.end_async(*args, **fields)
        self.spin_until(future.done)
        return future.result()

    def wait_taken(self, messages: int) -> None:
        """Until the recorder has taken so many messages from each topic: it takes one between two service calls."""
        for _ in range(messages + 5):
            assert not self.start().accepted

    def event(self, kind: str) -> EpisodeEvent:
        self.spin_until(lambda: any(event.event == kind for event in self.events))
        return next(event for event in self.events if event.event == kind)


@pytest.fixture
def cell(ros, make_observation):
    made = Cell(make_observation)
    yield made
    made.node.destroy_node()


@pytest.fixture
def launch(ros_domain: int, tmp_path: Path, small_contract: Contract, cell: Cell):
    """(parameters) -> the recorder as a process, connected to the cell."""
    contract_file = tmp_path / "contract.yaml"
    contract_file.write_text(small_contract.json)
    processes = []

    def start(**parameters) -> subprocess.Popen:
        values = {"contract_file": contract_file, "episode_dir": tmp_path / "episodes", "lockstep": True, **parameters}
        arguments = [f"{name}:={str(v).lower() if isinstance(v, bool) else v}" for name, v in values.items()]
        command = [sys.executable, "-m", "apo_recorder.recorder_node", "--ros-args"]
        for argument in arguments:
            command += ["-p", argument]
        processes.append(subprocess.Popen(command, env={**os.environ, "ROS_DOMAIN_ID": str(ros_domain)}))
        cell.wait_connected()
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def episodes(tmp_path) -> Callable[[], list[Episode]]:
    return lambda: [read_episode(path) for path in list_episodes(tmp_path / "episodes")]


def test_every_step_is_recorded_with_the_source_that_the_command_names(launch, cell, episodes, make_observation):
    launch()
    started = cell.start(tags=["round=2"])
    assert started.accepted, started.message
    sources = [POLICY, POLICY, HUMAN, HUMAN, HOLD, POLICY] * 5
    for tick, source in enumerate(sources, 100):
        cell.tick(tick, source)
    ended = cell.end(until=129)
    assert ended.accepted, ended.message
    (episode,) = episodes()
    assert str(episode.path) == ended.path
    assert episode.info.episode_id == started.episode_id
    assert (episode.info.task, episode.info.instruction, episode.info.operator) == ("Lift", "lift it", "ann")
    assert (episode.info.seed, episode.info.tags) == (5, {"round": "2"})
    assert episode.outcome == EpisodeOutcome(Outcome.SUCCESS, "told", terminated=True, truncated=False)
    assert list(episode.sources) == sources
    assert episode.ticks.tolist() == list(range(100, 130))
    assert episode.adapter_versions.tolist() == [4] * 30
    for index, source in enumerate(sources):
        tick = 100 + index
        observation = make_observation(tick * PERIOD_NS)
        np.testing.assert_array_equal(episode.images["front"][index], observation.images["front"])
        np.testing.assert_array_equal(episode.executed_actions[index], np.full(7, tick / 1000, np.float32))
        assert np.isnan(episode.policy_actions[index]).all() == (source is HOLD)
        assert np.isnan(episode.human_actions[index]).all() == (source is not HUMAN)
        assert episode.reasons[index] == f"tick {tick}"
    assert episode.losses == dict.fromkeys(episode.losses, 0) | {"frames_recorded": 30}
    saved = cell.event("SAVED")
    assert [event.event for event in cell.events] == ["STARTED", "SAVED"]
    assert (saved.path, saved.steps, saved.frames_recorded, saved.frames_lost) == (ended.path, 30, 30, 0)
    assert (saved.takeovers, saved.intervention_share) == (5, pytest.approx(1 / 3))


def test_missing_commands_and_observations_are_counted(launch, cell, episodes):
    launch()
    cell.start()
    for tick in range(1, 11):
        if tick != 8:
            cell.observe(tick)
        if tick not in (4, 5):
            cell.command(tick)
    assert cell.end(until=10).accepted
    (episode,) = episodes()
    assert episode.ticks.tolist() == [1, 2, 3, 6, 7, 9, 10]
    losses = episode.losses
    assert (losses["commands_lost"], losses["steps_unpaired"], losses["frames_lost"]) == (2, 1, 3)
    assert cell.event("SAVED").frames_lost == 3


def test_command_that_is_not_finite_is_refused_and_counted(launch, cell, episodes):
    launch(end_wait_s=WAIT_S)
    cell.start()
    for tick, fill in ((1, None), (2, float("nan")), (3, None), (4, float("inf"))):
        cell.observe(tick)
        cell.command(tick, fill=fill)
    assert cell.end(until=4).accepted
    (episode,) = episodes()
    assert episode.ticks.tolist() == [1, 3]
    assert (episode.losses["steps_dropped"], episode.losses["commands_lost"], episode.losses["frames_lost"]) == (
        2,
        0,
        2,
    )


def test_end_waits_for_the_last_command_and_takes_none_after_it(launch, cell, episodes):
    launch(end_wait_s=WAIT_S)
    cell.start()
    for tick in range(1, 5):
        cell.tick(tick)
    future = cell.end_async(until=6)
    cell.wait_taken(4)
    assert not future.done()
    for tick in range(5, 9):
        cell.tick(tick)
    cell.spin_until(future.done)
    assert future.result().accepted
    (episode,) = episodes()
    assert episode.ticks.tolist() == [1, 2, 3, 4, 5, 6]
    assert episode.losses["commands_lost"] == 0


def test_steps_after_the_last_observation_are_cut_off_again(launch, cell, episodes):
    launch()
    cell.start()
    for tick in range(1, 9):
        cell.tick(tick)
    cell.wait_taken(8)
    assert cell.end("FAILURE", until=6, truncated=True).accepted
    (episode,) = episodes()
    assert episode.ticks.tolist() == [1, 2, 3, 4, 5, 6]
    assert episode.outcome == EpisodeOutcome(Outcome.FAILURE, "told", terminated=False, truncated=True)


def test_interrupt_keeps_the_running_episode(launch, cell, episodes):
    process = launch()
    cell.start()
    for tick in range(1, 11):
        cell.tick(tick)
    cell.wait_taken(10)
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_S) == 0
    (episode,) = episodes()
    assert episode.ticks.tolist() == list(range(1, 11))
    assert episode.outcome == EpisodeOutcome(Outcome.UNLABELED, "recorder_stopped", False, False)
    assert cell.event("SAVED").steps == 10


def test_requests_out_of_turn_are_refused_with_a_reason(launch, cell, episodes):
    launch()
    assert cell.end().message == "no episode is being recorded"
    assert "must be of the form key=value" in cell.start(tags=["round"]).message
    first = cell.start()
    assert first.accepted
    assert "end it first" in cell.start().message
    assert "outcome = 'GOOD' must be one of" in cell.end("GOOD").message
    cell.tick(1)
    cell.wait_taken(1)
    assert cell.end("DISCARD").accepted
    assert cell.event("DISCARDED").episode_id == first.episode_id
    assert episodes() == []
    assert cell.start().accepted
    empty = cell.end()
    assert not empty.accepted and "no step was recorded" in empty.message


def test_unusable_folder_fails_the_episode_and_the_recorder_lives_on(launch, cell, episodes, tmp_path):
    launch()
    blocker = tmp_path / "episodes" / ".partial"
    blocker.write_text("a file where the folder should be")
    refused = cell.start()
    assert not refused.accepted and "FileExistsError" in refused.message
    assert "FileExistsError" in cell.event("FAILED").reason
    assert "FileExistsError" in cell.end().message
    blocker.unlink()
    assert cell.start().accepted
    cell.tick(1)
    assert cell.end(until=1).accepted
    assert [episode.num_steps for episode in episodes()] == [1]


def test_auto_turns_every_trial_into_an_episode(launch, cell, episodes):
    launch(auto=True, task="Stack")
    for trial, first, success in ((1, 10, True), (2, 30, False)):
        for tick in range(first, first + 4):
            over = tick == first + 3
            cell.tick(tick)  # the answer to the last observation is not executed any more
            facts = {"success": over and success, "truncated": over and not success}
            last = to_stamp((tick - 1) * PERIOD_NS)
            cell.status(tick, trial, not over, last_observation_stamp=last, **facts)
    cell.spin_until(lambda: [event.event for event in cell.events].count("SAVED") == 2)
    first, second = episodes()
    assert first.ticks.tolist() == [10, 11, 12] and second.ticks.tolist() == [30, 31, 32]
    assert first.outcome == EpisodeOutcome(Outcome.SUCCESS, "task_success", terminated=True, truncated=False)
    assert second.outcome == EpisodeOutcome(Outcome.FAILURE, "step_limit", terminated=False, truncated=True)
    assert (first.info.task, first.info.seed, second.info.seed) == ("Stack", 61, 62)


def test_wrong_parameters_end_the_process_with_every_fault(ros_domain, tmp_path):
    command = [sys.executable, "-m", "apo_recorder.recorder_node", "--ros-args", "-p", "queue_steps:=0"]
    done = subprocess.run(
        [*command, "-p", "end_wait_s:=-1.0"], capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 2
    assert "queue_steps" in done.stderr and "end_wait_s" in done.stderr
