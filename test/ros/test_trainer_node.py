"""The trainer node as a process over DDS: runs on request and by episode count, one at a time, and ends cleanly."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rclpy
import yaml
from rclpy.executors import SingleThreadedExecutor

torch = pytest.importorskip("torch")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from small_policy import plain_statistics, random_model  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from apo_core.adapters.store import AdapterStore  # noqa: E402
from apo_core.contract.contract import load_contract  # noqa: E402
from apo_core.ros.qos import COMMANDS, LATCHED  # noqa: E402
from apo_interfaces.msg import EpisodeEvent, TrainerStatus  # noqa: E402
from apo_interfaces.srv import StartTraining  # noqa: E402
from apo_vla.families.small_vla.checkpoint import save_checkpoint  # noqa: E402
from apo_vla.families.small_vla.model import SmallVlaConfig  # noqa: E402
from apo_vla.inputs.prompt import build_tokenizer  # noqa: E402

ROOT = Path(__file__).parents[2]
EPISODES = ROOT / "test" / "data" / "takeovers"
WAIT_S = 90.0  # limit of a wait for something that will come


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A very small model of random weights for the shipped contract."""
    config = SmallVlaConfig(image_size=16, image_channels=(8, 8, 8), hidden=16, layers=1, heads=2, mlp=32, chunk=2)
    statistics = plain_statistics(load_contract(ROOT / "config" / "contract.yaml"), config.state_keys)
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(folder, random_model(config), build_tokenizer(["lift the red cube"]), statistics, {})
    return folder


class Client:
    """The node's counterpart: requests trainings and receives the reports."""

    def __init__(self, domain: int):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("client", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.statuses: list[TrainerStatus] = []
        self.node.create_subscription(TrainerStatus, "trainer/status", self.statuses.append, LATCHED)
        self.arrays: list[DiagnosticArray] = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.arrays.append, COMMANDS)
        self.train = self.node.create_client(StartTraining, "trainer/train")
        self.cancel = self.node.create_client(Trigger, "trainer/cancel")
        self.events = self.node.create_publisher(EpisodeEvent, "recorder/event", COMMANDS)

    def until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, f"no {what} within {WAIT_S} s; statuses: {self.states()}"
            self.executor.spin_once(timeout_sec=0.1)

    def request(self, serving: int = 0, episode_ids: tuple[str, ...] = ()) -> StartTraining.Response:
        self.until(self.train.service_is_ready, "service")
        future = self.train.call_async(StartTraining.Request(serving=serving, episode_ids=list(episode_ids)))
        self.until(future.done, "answer")
        return future.result()

    def call_cancel(self) -> Trigger.Response:
        self.until(self.cancel.service_is_ready, "service")
        future = self.cancel.call_async(Trigger.Request())
        self.until(future.done, "answer")
        return future.result()

    def diagnostics(self) -> dict[str, str]:
        """The newest values, with `level` and `text`; empty before the first."""
        if not self.arrays:
            return {}
        (status,) = self.arrays[-1].status
        return {"level": status.level, "text": status.message, **{pair.key: pair.value for pair in status.values}}

    def saved(self) -> None:
        self.until(lambda: self.events.get_subscription_count() == 1, "subscription")
        self.events.publish(EpisodeEvent(event=EpisodeEvent.SAVED, episode_id="e"))

    def states(self) -> list[str]:
        return [status.state for status in self.statuses]

    def until_state(self, *states: str) -> TrainerStatus:
        self.until(lambda: any(state in states for state in self.states()), " or ".join(states))
        return next(status for status in self.statuses if status.state in states)

    def close(self) -> None:
        self.executor.shutdown(timeout_sec=1.0)
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def client(ros_domain) -> Iterator[Client]:
    client = Client(ros_domain)
    yield client
    client.close()


@pytest.fixture
def start(client, checkpoint, tmp_path, meet) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts the node with these parameters on top of a small run of 5 steps."""
    processes = []

    def make(**changes) -> subprocess.Popen:
        values = {
            "checkpoint_dir": str(checkpoint),
            "episode_dir": str(EPISODES),
            "expert_dir": str(tmp_path / "no_expert"),
            "adapter_dir": str(tmp_path / "adapters"),
            "run_dir": str(tmp_path / "runs"),
            "steps": 5,
            "batch_size": 4,
            "warmup_steps": 0,
            "learning_rate": 0.01,
            "gate_rise_nats": -1000.0,
            "gate_fall_nats": -1000.0,
            "gate_min_samples": 0,
            "gate_l1_tolerance": 100.0,
            "niceness": 0,
            "every_n_episodes": 0,
            "look_s": 1.0,
            "threads": 1,
            "progress_s": 0.0,
            **changes,
        }
        path = tmp_path / "trainer.yaml"
        path.write_text(yaml.safe_dump({"trainer": {"ros__parameters": values}}))
        command = [sys.executable, "-c", "from apo_trainer.trainer_node import main; main()"]
        command += ["--ros-args", "--params-file", str(path)]
        process = subprocess.Popen(command, env=os.environ.copy(), stderr=subprocess.PIPE, text=True)
        processes.append(process)
        meet(client.node, "trainer", client.until)
        return process

    yield make
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_S)


def test_a_request_trains_reports_and_publishes(client, start, tmp_path):
    start()
    answer = client.request()
    assert answer.accepted
    assert answer.run_id
    busy = client.request()
    assert not busy.accepted
    assert f"run {answer.run_id} is still training" in busy.message
    done = client.until_state(TrainerStatus.PUBLISHED, TrainerStatus.REJECTED, TrainerStatus.FAILED)
    assert (done.state, done.adapter_version, done.step, done.steps) == (TrainerStatus.PUBLISHED, 1, 5, 5)
    assert done.run_id == answer.run_id
    running = [s for s in client.statuses if s.state == TrainerStatus.RUNNING and s.step]
    assert running
    assert all(s.steps == 5 and math.isfinite(s.loss) and s.eta_s >= 0.0 for s in running)
    assert AdapterStore(tmp_path / "adapters").read(1)[0].parent == 0
    assert (tmp_path / "runs" / answer.run_id / "result.json").is_file()


def test_run_starts_from_the_base_policy_and_reports_its_steps(client, start, tmp_path):
    start(steps=0, min_steps=4, max_steps=6, start_from="base")
    client.request()
    client.until_state(TrainerStatus.PUBLISHED, TrainerStatus.FAILED)
    client.statuses.clear()
    answer = client.request(serving=1)
    assert (answer.accepted, answer.parent) == (True, 0)
    assert answer.message == "training from the base policy, to replace adapter 1"
    done = client.until_state(TrainerStatus.PUBLISHED, TrainerStatus.FAILED)
    assert (done.state, done.step, done.steps) == (TrainerStatus.PUBLISHED, 6, 6), done.message
    assert {s.steps for s in client.statuses if s.step} == {6}
    version = AdapterStore(tmp_path / "adapters").read(2)[0]
    assert (version.parent, version.metrics["serving"]) == (0, 1)


def add_episodes(folder: Path, names: list[str]) -> None:
    """Puts recorded episodes into the recorder's folder, each whole at once."""
    folder.mkdir(exist_ok=True)
    for name in names:
        shutil.copy(EPISODES / name, folder / f".{name}.part")
        (folder / f".{name}.part").rename(folder / name)


def test_enough_new_episodes_start_a_run_from_the_promoted_adapter(client, start, tmp_path):
    names = sorted(path.name for path in EPISODES.glob("*.h5"))
    add_episodes(tmp_path / "episodes", names[:1])
    # only the recorder's word makes it look again
    start(every_n_episodes=2, episode_dir=str(tmp_path / "episodes"), look_s=3600.0, start_from="serving")
    client.until(lambda: client.diagnostics().get("new_episodes") == "1", "count of new episodes")
    (tmp_path / "episodes" / "broken.h5").write_bytes(b"nothing")
    add_episodes(tmp_path / "episodes", names[1:2])
    client.saved()
    done = client.until_state(TrainerStatus.PUBLISHED, TrainerStatus.FAILED)
    assert (done.state, done.adapter_version) == (TrainerStatus.PUBLISHED, 1), done.message
    store = AdapterStore(tmp_path / "adapters")
    assert len(store.read(1)[0].episode_ids) <= 2
    client.statuses.clear()
    add_episodes(tmp_path / "episodes", names[2:4])
    client.saved()
    done = client.until_state(TrainerStatus.PUBLISHED, TrainerStatus.FAILED)
    assert (done.adapter_version, store.read(2)[0].parent) == (2, 1)
    client.until(lambda: client.diagnostics().get("state") == "PUBLISHED", "diagnostics")
    values = client.diagnostics()
    assert (values["new_episodes"], values["rejected"]) == ("0", "1")
    assert "not a readable episode file" in values["rejected broken.h5"]
    assert values["text"] == "1 episode files are rejected"


def test_a_schedule_starts_a_run_when_there_is_something_new(client, start, tmp_path):
    start(every_n_episodes=0, train_every_s=0.5, look_s=0.1)
    done = client.until_state(TrainerStatus.PUBLISHED, TrainerStatus.FAILED)
    assert done.state == TrainerStatus.PUBLISHED, done.message
    assert any("since the last run" in status.message for status in client.statuses)


def niceness_of(run_id: str) -> list[int]:
    """Of the processes that train."""
    words = (b"apo_trainer.train", run_id.encode())
    found = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if all(word in path.read_bytes() for word in words)
    ]
    return [os.getpriority(os.PRIO_PROCESS, pid) for pid in found]


def test_a_run_leaves_the_processor_to_others_and_can_be_cancelled(client, start, tmp_path):
    start(steps=1_000_000, niceness=7)
    idle = client.call_cancel()
    assert (idle.success, idle.message) == (False, "no run is training")
    run_id = client.request().run_id
    client.until(lambda: any(s.step for s in client.statuses), "progress")
    assert niceness_of(run_id) == [min(19, os.getpriority(os.PRIO_PROCESS, 0) + 7)]
    answer = client.call_cancel()
    assert answer.success
    assert f"run {run_id} is cancelled" in answer.message
    ended = client.until_state(TrainerStatus.CANCELLED, TrainerStatus.FAILED, TrainerStatus.PUBLISHED)
    assert (ended.state, ended.adapter_version) == (TrainerStatus.CANCELLED, 0)
    assert AdapterStore(tmp_path / "adapters").versions() == []
    assert client.request().accepted


def test_an_unknown_serving_adapter_is_rejected_at_once(client, start):
    start()
    answer = client.request(serving=9)
    assert not answer.accepted
    assert "serving = 9 is not in the adapter store" in answer.message


def test_a_run_without_data_fails_with_the_reason(client, start, tmp_path):
    start(episode_dir=str(tmp_path / "nothing"))
    assert client.request().accepted
    failed = client.until_state(TrainerStatus.FAILED, TrainerStatus.PUBLISHED)
    assert failed.state == TrainerStatus.FAILED
    assert "no sample to train on" in failed.message
    assert failed.adapter_version == 0


def test_runs_that_end_differently_follow_each_other(client, start, tmp_path):
    episodes = tmp_path / "episodes"
    shutil.copytree(EPISODES, episodes)
    process = start(episode_dir=str(episodes))
    client.request()
    assert client.until_state(TrainerStatus.PUBLISHED, TrainerStatus.FAILED).state == TrainerStatus.PUBLISHED
    shutil.rmtree(episodes)
    client.request()
    failed = client.until_state(TrainerStatus.FAILED)
    assert "no sample to train on" in failed.message
    assert client.call_cancel().message == "no run is training"
    assert process.poll() is None


def test_the_end_of_the_node_stops_the_run_and_publishes_nothing(client, start, tmp_path):
    process = start(steps=1_000_000)
    client.request()
    client.until(lambda: any(s.step for s in client.statuses), "progress")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert "is stopped because the trainer node ends" in errors
    assert "INTERRUPTED" in errors
    assert AdapterStore(tmp_path / "adapters").versions() == []
