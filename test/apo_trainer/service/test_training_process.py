"""A training as a process of its own: its messages, and its end by force."""

import os
import signal
import time

import pytest
import yaml

from apo_trainer.config import TrainerConfig
from apo_trainer.service.training_process import TrainingProcess

WAIT_S = 120.0


@pytest.fixture
def process(tmp_path):
    """A run whose folder of episodes does not exist."""
    folders = {"checkpoint_dir": "checkpoint", "episode_dir": "episodes", "expert_dir": "expert", "run_dir": "runs"}
    paths = {name: str(tmp_path / folder) for name, folder in folders.items()}
    config = TrainerConfig(**paths, adapter_dir=str(tmp_path / "adapters"), niceness=0, threads=1)
    made = TrainingProcess(config, 0, ["e1"], "run")
    yield made
    made.stop()


def messages_of(process: TrainingProcess) -> list[dict]:
    """All messages of the run, to its result."""
    end, messages = time.monotonic() + WAIT_S, []
    while not process.ended:
        assert time.monotonic() < end
        messages += process.poll(time.monotonic())
        time.sleep(0.05)
    return messages


def test_result_of_program_is_last_message(process, tmp_path):
    messages = messages_of(process)
    assert [message["event"] for message in messages] == ["result"]
    assert messages[0]["state"] == "FAILED"
    assert messages[0]["run_id"] == "run"
    written = yaml.safe_load((tmp_path / "runs" / "run" / "config.yaml").read_text())
    assert written["trainer"]["ros__parameters"]["episode_dir"] == str(tmp_path / "episodes")
    assert process.poll(time.monotonic()) == []


def test_killed_program_gives_a_result_with_its_status(process):
    os.kill(process.pid, signal.SIGKILL)
    (result,) = messages_of(process)
    assert (result["event"], result["state"], result["version"]) == ("result", "FAILED", None)
    assert result["message"].startswith("the training process ended with status -9")


def test_cancelled_program_is_interrupted_by_force_after_its_time(process):
    os.kill(process.pid, signal.SIGSTOP)
    process.cancel(0.0)
    assert process.poll(1.0) == []
    process.poll(1000.0)
    (result,) = messages_of(process)
    assert result["state"] == "INTERRUPTED"
