"""The training program when it is killed, when the disk is full, and how it goes on."""

import json
import os
import random
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from training_output import published, result_of

from apo_core.adapters.store import AdapterStore
from apo_trainer import train


@pytest.fixture
def arguments(arguments):
    """Nothing of another run is at hand."""
    return partial(arguments, reference_cache=False)


def losses(tmp_path, run) -> list[float]:
    return [json.loads(line)["loss"] for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]


def end_at_step(step: int, number: signal.Signals, arguments: list[str]) -> int:
    """Runs the program, sends it a signal once it has reported the step, and returns its exit status."""
    command = [sys.executable, "-m", "apo_trainer.train", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ)
    with process:
        for line in process.stdout:
            message = json.loads(line)
            if message["event"] == "progress" and message["step"] >= step:
                process.send_signal(number)
                break
        process.stdout.read()
    return process.returncode


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 130)], ids=["killed", "stopped"])
def test_interrupted_run_resumes_to_the_same_losses_and_adapter(arguments, tmp_path, number, status):
    settings = {"steps": 60, "resume_every_steps": 3, "views": 2}
    assert train.main(arguments("whole", **settings)) == 0
    step = random.randrange(1, 40)
    assert end_at_step(step, number, arguments("ended", **settings)) == status
    assert (tmp_path / "ended" / "result.json").exists() == (number == signal.SIGTERM)
    assert train.main(["--resume", str(tmp_path / "ended")]) == 0, f"ended at step {step}"
    assert losses(tmp_path, "ended") == losses(tmp_path, "whole"), f"ended at step {step}"
    store = AdapterStore(tmp_path / "adapters")
    (_, whole), (_, ended) = store.read(1), store.read(2)
    assert all(np.array_equal(whole[name], ended[name]) for name in whole)


def test_a_run_whose_steps_follow_from_the_data_goes_on_to_as_many(arguments, tmp_path):
    assert train.main(arguments("served")) == 0
    settings = {"steps": 0, "passes": 12.0, "min_steps": 2, "resume_every_steps": 3, "undesirable_of": "likely"}
    assert train.main(arguments("whole", parent=1, **settings)) == 0
    assert end_at_step(10, signal.SIGKILL, arguments("ended", parent=1, **settings)) == -9
    assert train.main(["--resume", str(tmp_path / "ended")]) == 0
    result = result_of(tmp_path, "ended")
    assert (result["parent"], result["serving"], result["steps"], result["planned_steps"]) == (1, 1, 45, 45)
    assert losses(tmp_path, "ended") == losses(tmp_path, "whole")


def test_run_without_progress_file_starts_again_on_the_same_files(arguments, write_episode, interactions, tmp_path):
    assert train.main(arguments(gate_rise_nats=1e6)) == 3
    before = result_of(tmp_path)
    (tmp_path / "run" / "result.json").unlink()  # as if it had been killed
    write_episode("later", "PPPPPHHH", directory=interactions)
    assert train.main(["--resume", str(tmp_path / "run")]) == 3
    after = result_of(tmp_path)
    assert after["data"] == before["data"]
    assert after["metrics"] == before["metrics"]
    assert len(losses(tmp_path, "run")) == 10


def test_a_finished_run_cannot_be_resumed(arguments, tmp_path, capsys):
    train.main(arguments())
    assert train.main(["--resume", str(tmp_path / "run")]) == 2
    assert "the run is finished (PUBLISHED); start a new one" in capsys.readouterr().err


@pytest.mark.parametrize("lost", [[], ["current.json"]], ids=["promoted", "not_promoted_yet"])
def test_run_that_ended_after_publishing_publishes_only_once(arguments, tmp_path, lost):
    assert train.main(arguments()) == 0
    (tmp_path / "run" / "result.json").unlink()
    for name in lost:
        (tmp_path / "adapters" / name).unlink()
    assert train.main(["--resume", str(tmp_path / "run")]) == 0
    assert (published(tmp_path), result_of(tmp_path)["version"]) == ([1], 1)
    promotion = AdapterStore(tmp_path / "adapters").promotion()
    assert (promotion.number, promotion.sequence) == (1, 1)
    assert train.main(arguments("another")) == 0
    assert published(tmp_path) == [1, 2]


@pytest.mark.parametrize("name", ["metrics.jsonl", "progress.safetensors.new"])
def test_a_full_disk_fails_with_the_places_and_publishes_nothing(arguments, tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to("/dev/full")
    assert train.main(arguments(resume_every_steps=1)) == 2
    result = result_of(tmp_path)
    assert result["state"] == "FAILED"
    assert "No space left on device" in result["message"]
    assert "is on a full disk: free space and resume the run" in result["message"]
    assert published(tmp_path) == []
