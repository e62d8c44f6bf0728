"""The recorder as a process over DDS: what a scripted robot and arbiter send is in the files, losses are counted."""

import array
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from apo_core.contract import Contract
from apo_core.episode_file import Episode, list_episodes, read_episode, verify_checksums
from apo_core.episode_recovery import list_partial, recover_episode
from apo_core.ros.conversions import array_to_pose, image_to_msg, to_floats, to_stamp
from apo_core.ros.qos import COMMANDS, sensors
from apo_core.types import ControlSource, EpisodeOutcome, Outcome
from apo_interfaces.msg import ActionCommand, EpisodeEvent, OperatorCommand, TaskStatus
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
        self.command_pub = self.node.create_publisher(ActionCommand, "command", COMMANDS)
        self._status = self.node.create_publisher(TaskStatus, "task/status", COMMANDS)
        self.operator = self.node.create_publisher(OperatorCommand, "operator/command", COMMANDS)
        self.publishers = [self._image, self._pose, self._gripper, self.command_pub, self._status, self.operator]
        self.diagnostics: dict[str, str] = {}
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, COMMANDS)
        self.node.create_subscription(EpisodeEvent, "recorder/event", self.events.append, COMMANDS)
        self._start = self.node.create_client(StartEpisode, "recorder/start_episode")
        self._end = self.node.create_client(EndEpisode, "recorder/end_episode")
        self._undo = self.node.create_client(Trigger, "recorder/undo_last")

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostics = {pair.key: pair.value for pair in message.status[0].values}

    def spin_until(self, condition: Callable[[], object], what: str = "what was waited for") -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come"
            self._executor.spin_once(timeout_sec=0.05)

    def wait_connected(self) -> None:
        self.spin_until(
            lambda: (
                all(publisher.get_subscription_count() for publisher in self.publishers)
                and self.node.count_publishers("recorder/event")
                and self._start.service_is_ready()
                and self._end.service_is_ready()
                and self._undo.service_is_ready()
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

    def command(
        self, tick: int, source: ControlSource = POLICY, fill: float | None = None, stamp_ns: int | None = None
    ) -> None:
        stamp = to_stamp(tick * PERIOD_NS if stamp_ns is None else stamp_ns)
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
            clipped="vx",
        )
        message.header.stamp = stamp
        self.command_pub.publish(message)

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

    def undo(self) -> Trigger.Response:
        future = self._undo.call_async(Trigger.Request())
        self.spin_until(future.done)
        return future.result()

    def press(self, event: str) -> None:
        self.operator.publish(OperatorCommand(device="pad", connected=True, events=[event]))

    def count(self, kind: str) -> int:
        return [event.event for event in self.events].count(kind)

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
def launch(ros_domain: int, tmp_path: Path, small_contract: Contract, cell: Cell, meet):
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
        meet(cell.node, "recorder", cell.spin_until)
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
    streams = ("front", "ee_pose", "width")
    for stream in streams:
        assert episode.header_stamps_ns[stream].tolist() == episode.stamps_ns["observation"].tolist()
        assert (np.diff(episode.stream_receive_ns[stream]) > 0).all()
        found = {name: episode.streams[stream][name] for name in ("received", "gaps", "duplicates", "refused")}
        assert found == {"received": 30, "gaps": 0, "duplicates": 0, "refused": 0}
    assert episode.clipped == ("vx",) * 30
    assert verify_checksums(ended.path) == []
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


def test_buttons_of_the_operator_start_end_and_take_back(launch, cell, episodes):
    launch()
    cell.press("start")
    cell.event("STARTED")
    for tick in range(1, 4):
        cell.tick(tick)
    cell.wait_taken(3)
    cell.press("success")
    saved = cell.event("SAVED")
    assert (saved.outcome, saved.reason, saved.steps) == ("SUCCESS", "operator_success", 3)
    cell.press("undo_last")
    assert "kept in" in cell.event("DISCARDED").reason
    assert episodes() == []
    cell.press("start")
    cell.spin_until(lambda: cell.count("STARTED") == 2)
    cell.tick(4)
    cell.wait_taken(4)
    cell.press("discard")
    cell.spin_until(lambda: cell.count("DISCARDED") == 2)
    assert episodes() == []


def test_buttons_can_be_switched_off(launch, cell):
    cell.publishers.remove(cell.operator)
    launch(buttons=False)
    cell.press("start")
    for _ in range(5):
        assert cell.end().message == "no episode is being recorded"
    assert cell.events == []


def test_last_episode_is_taken_back_by_the_service(launch, cell, episodes, tmp_path):
    launch()
    refused = cell.undo()
    assert not refused.success and "no episode was saved yet" in refused.message
    for tick in (1, 2):
        cell.start()
        cell.tick(tick)
        assert cell.end(until=tick).accepted
    first, second = episodes()
    undone = cell.undo()
    assert undone.success and second.info.episode_id in undone.message
    assert [episode.path for episode in episodes()] == [first.path]
    assert read_episode(tmp_path / "episodes" / ".discarded" / second.path.name).ticks.tolist() == [2]


def test_seconds_before_the_start_are_kept(launch, cell, episodes):
    launch(pre_roll_s=WAIT_S)
    for tick in range(1, 6):
        cell.tick(tick)
    for _ in range(10):  # the recorder takes a message of each topic between two calls
        assert not cell.end().accepted
    cell.start()
    cell.tick(6)
    assert cell.end(until=6).accepted
    (episode,) = episodes()
    assert episode.ticks.tolist() == [1, 2, 3, 4, 5, 6] and episode.info.pre_roll_steps == 5


def test_losses_are_shown_while_recording(launch, cell):
    launch()
    cell.start()
    for tick in (1, 4):
        cell.tick(tick)
    cell.spin_until(lambda: cell.diagnostics.get("commands_lost") == "2")
    assert cell.diagnostics["episode"] and cell.diagnostics["frames_lost"] == "2"
    assert cell.end(until=4).accepted


def test_killed_recorder_leaves_an_episode_to_recover(launch, cell, episodes, tmp_path):
    process = launch()
    cell.start()
    for tick in range(1, 11):
        cell.tick(tick)
    cell.wait_taken(10)
    cell.spin_until(lambda: cell.diagnostics.get("steps_waiting") == "0" and cell.diagnostics["episode"])
    process.kill()
    process.wait(WAIT_S)
    assert episodes() == []
    (journal,) = list_partial(tmp_path / "episodes")
    recovered = read_episode(recover_episode(journal))
    assert recovered.ticks.tolist() == list(range(1, len(recovered.ticks) + 1)) and recovered.num_steps >= 9
    assert (recovered.info.operator, recovered.outcome.reason) == ("ann", "recovered")


SENSES = {
    "images": {
        "depth": {"topic": "depth/image_raw", "height": 4, "width": 6, "encoding": "16UC1", "rate_hz": 10},
        "grey": {
            "topic": "grey/compressed",
            "type": "sensor_msgs/msg/CompressedImage",
            "height": 4,
            "width": 6,
            "encoding": "mono8",
        },
    },
    "state": {
        "wrench": {"topic": "wrench", "type": "geometry_msgs/msg/WrenchStamped", "size": 6, "unit": "N, N m"},
        "tactile": {"topic": "tactile", "type": "std_msgs/msg/Float64MultiArray", "size": 3, "unit": "N"},
    },
}


class Senses:
    """A depth camera, a compressed grey one, a wrench and an array without header."""

    def __init__(self, node):
        qos = sensors("reliable")
        self.depth = node.create_publisher(Image, "depth/image_raw", qos)
        self.grey = node.create_publisher(CompressedImage, "grey/compressed", qos)
        self.wrench = node.create_publisher(WrenchStamped, "wrench", qos)
        self.tactile = node.create_publisher(Float64MultiArray, "tactile", qos)

    def publish(self, stamp_ns: int, tick: int) -> None:
        stamp = to_stamp(stamp_ns)
        depth = Image(height=4, width=6, encoding="16UC1", step=12)
        depth.data = array.array("B", np.full((4, 6), 1000 + tick, "<u2").tobytes())
        png = cv2.imencode(".png", np.full((4, 6), tick, np.uint8))[1].tobytes()
        grey = CompressedImage(format="png", data=array.array("B", png))
        wrench = WrenchStamped()
        wrench.wrench.force.z = float(tick)
        for message in (depth, grey, wrench):
            message.header.stamp = stamp
        self.depth.publish(depth)
        self.grey.publish(grey)
        self.wrench.publish(wrench)
        self.tactile.publish(Float64MultiArray(data=[float(tick), 0.5, -1.0]))


@pytest.mark.parametrize("compression", ["zstd", "jpeg"])
def test_depth_compressed_and_arrays_come_from_the_contract(
    launch, cell, episodes, tmp_path, small_contract, compression
):
    contract_file = tmp_path / "senses.yaml"
    # an array has no header: its stamp is the time of arrival
    contract_file.write_text(json.dumps(small_contract.as_dict() | SENSES | {"tolerance_s": 5.0}))
    senses = Senses(cell.node)
    cell.publishers = [cell.command_pub, senses.depth, senses.grey, senses.wrench, senses.tactile]
    launch(
        contract_file=contract_file,
        image_compression=compression,
        lockstep=False,
        pairing_tolerance_s=5.0,
        observation_wait_s=0.2,
    )
    cell.start()
    begin_ns = cell.node.get_clock().now().nanoseconds
    for tick in range(1, 6):
        stamp_ns = begin_ns + tick * 1_000_000
        senses.publish(stamp_ns, tick)
        cell.command(tick, stamp_ns=stamp_ns)
    cell.wait_taken(5)
    assert cell.end().accepted
    (episode,) = episodes()
    assert episode.num_steps > 0 and episode.images["depth"].dtype == np.uint16
    depth, grey = episode.images["depth"][-1], episode.images["grey"][-1]
    assert depth.shape == grey.shape == (4, 6, 1) and 1001 <= depth[0, 0, 0] <= 1005
    assert (grey == grey[0, 0, 0]).all()
    assert episode.state["tactile"][-1].tolist()[1:] == [0.5, -1.0]
    assert episode.state["wrench"].shape[1] == 6
    assert episode.streams["depth"]["received"] == 5
