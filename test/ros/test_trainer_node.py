"""The trainer node as a process over DDS: runs on request and by episode count, one at a time, and ends cleanly."""

import math
import os
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

from apo_core.adapter_store import AdapterStore  # noqa: E402
from apo_core.contract import load_contract  # noqa: E402
from apo_core.ros.qos import COMMANDS, LATCHED  # noqa: E402
from apo_core.vla.checkpoint import save_checkpoint  # noqa: E402
from apo_core.vla.prompt import build_tokenizer  # noqa: E402
from apo_core.vla.small_vla import SmallVla, SmallVlaConfig  # noqa: E402
from apo_core.vla.statistics import DatasetStatistics  # noqa: E402
from apo_interfaces.msg import EpisodeEvent, TrainerStatus  # noqa: E402
from apo_interfaces.srv import StartTraining  # noqa: E402

ROOT = Path(__file__).parents[2]
EPISODES = ROOT / "test" / "data" / "takeovers"
WAIT_S = 90.0  # limit of a wait for something that will come


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A very small model of random weights for the shipped contract."""
    config = SmallVlaConfig(image_size=16, image_channels=(8, 8, 8), hidden=16, layers=1, heads=2, mlp=32, chunk=2)
    sizes = {"ee_pose": 7, "gripper_width": 1, "joint_position": 7}
    statistics = DatasetStatistics(
        action_q01=(-1.0,) * 7,
        action_q99=(1.0,) * 7,
        action_mean=(0.0,) * 7,
        action_std=(1.0,) * 7,
        action_mask=(True,) * 6 + (False,),
        state_mean={name: (0.0,) * size for name, size in sizes.items()},
        state_std={name: (1.0,) * size for name, size in sizes.items()},
        num_frames=1,
        contract_sha256=load_contract(ROOT / "config" / "contract.yaml").sha256,
    )
    folder = tmp_path_factory.mktemp("checkpoint")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_checkpoint(folder, SmallVla(config), build_tokenizer(["lift the red cube"]), statistics, {})
    return folder


class Client:
    """The node's counterpart: asks for training and listens."""

    def __init__(self, domain: int):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("client", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.statuses: list[TrainerStatus] = []
        self.node.create_subscription(TrainerStatus, "trainer/status", self.statuses.append, LATCHED)
        self.train = self.node.create_client(StartTraining, "trainer/train")
        self.events = self.node.create_publisher(EpisodeEvent, "recorder/event", COMMANDS)

    def until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, f"no {what} within {WAIT_S} s; statuses: {self.states()}"
            self.executor.spin_once(timeout_sec=0.1)

    def request(self, parent: int = 0, episode_ids: tuple[str, ...] = ()) -> StartTraining.Response:
        self.until(self.train.service_is_ready, "service")
        future = self.train.call_async(StartTraining.Request(parent=parent, episode_ids=list(episode_ids)))
        self.until(future.done, "answer")
        return future.result()

    def saved(self, count: int) -> None:
        self.until(lambda: self.events.get_subscription_count() == 1, "subscription")
        for number in range(count):
            self.events.publish(EpisodeEvent(event=EpisodeEvent.SAVED, episode_id=f"e{number}"))
        self.events.publish(EpisodeEvent(event=EpisodeEvent.DISCARDED, episode_id="discarded"))

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
            "gate_margin_nats": -1000.0,
            "gate_l1_tolerance": 100.0,
            "niceness": 0,
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
    done = client.until_state(TrainerStatus.PUBLISHED, TrainerStatus.REFUSED, TrainerStatus.FAILED)
    assert (done.state, done.adapter_version, done.step, done.steps) == (TrainerStatus.PUBLISHED, 1, 5, 5)
    assert done.run_id == answer.run_id
    running = [s for s in client.statuses if s.state == TrainerStatus.RUNNING and s.step]
    assert running
    assert all(s.steps == 5 and math.isfinite(s.loss) and s.eta_s >= 0.0 for s in running)
    assert AdapterStore(tmp_path / "adapters").read(1)[0].parent == 0
    assert (tmp_path / "runs" / answer.run_id / "result.json").is_file()


def test_enough_saved_episodes_start_a_run_from_the_newest_adapter(client, start, tmp_path):
    start(every_n_episodes=3)
    client.until_state(TrainerStatus.IDLE)
    client.saved(3)
    client.until_state(TrainerStatus.PUBLISHED, TrainerStatus.FAILED)
    client.statuses.clear()
    client.saved(3)
    done = client.until_state(TrainerStatus.PUBLISHED, TrainerStatus.FAILED)
    assert done.adapter_version == 2
    assert AdapterStore(tmp_path / "adapters").read(2)[0].parent == 1


def test_an_unknown_parent_is_refused_at_once(client, start):
    start()
    answer = client.request(parent=9)
    assert not answer.accepted
    assert "parent = 9 is not in the adapter store" in answer.message


def test_a_run_without_data_fails_with_the_reason(client, start, tmp_path):
    start(episode_dir=str(tmp_path / "nothing"))
    assert client.request().accepted
    failed = client.until_state(TrainerStatus.FAILED, TrainerStatus.PUBLISHED)
    assert failed.state == TrainerStatus.FAILED
    assert "no sample to train on" in failed.message
    assert failed.adapter_version == 0


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
