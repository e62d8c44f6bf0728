"""The training program when it is killed, when the disk is full, and how it goes on."""

import json
import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
import yaml

from apo_core.adapter_store import AdapterStore
from apo_trainer import train

SETTINGS = {
    "steps": 12,
    "batch_size": 8,
    "learning_rate": 0.01,
    "warmup_steps": 0,
    "undesirable_steps": 3,
    "gate_l1_tolerance": 100.0,
    "gate_rise_nats": -1000.0,
    "gate_fall_nats": -1000.0,
    "gate_min_samples": 0,
    "niceness": 0,
    "threads": 1,
    "progress_s": 0.0,
    "reference_cache": False,
}


@pytest.fixture
def arguments(checkpoint, interactions, tmp_path):
    """Arguments of a run in the folder of its name, with any parameter of the file changed."""

    def make(run="run", **changes) -> list[str]:
        folders = {"checkpoint_dir": checkpoint, "episode_dir": interactions, "expert_dir": tmp_path / "expert"}
        folders["adapter_dir"] = tmp_path / "adapters"
        values = {**SETTINGS, **{name: str(path) for name, path in folders.items()}, **changes}
        path = tmp_path / f"{run}.yaml"
        path.write_text(yaml.safe_dump({"trainer": {"ros__parameters": values}}))
        return ["--config", str(path), "--run-dir", str(tmp_path / run), "--run-id", run]

    return make


def result_of(tmp_path, run="run") -> dict:
    return json.loads((tmp_path / run / "result.json").read_text())


def published(tmp_path) -> list[int]:
    return AdapterStore(tmp_path / "adapters").versions()


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
def test_a_run_that_was_ended_goes_on_to_the_same_losses_and_the_same_adapter(arguments, tmp_path, number, status):
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


def test_a_run_that_left_nothing_to_go_on_from_starts_again_on_the_same_files(
    arguments, write_episode, interactions, tmp_path
):
    assert train.main(arguments(gate_rise_nats=1e6)) == 3
    before = result_of(tmp_path)
    (tmp_path / "run" / "result.json").unlink()  # as if it had been killed
    write_episode("later", "PPPPPHHH", directory=interactions)
    assert train.main(["--resume", str(tmp_path / "run")]) == 3
    after = result_of(tmp_path)
    assert after["data"] == before["data"]
    assert after["metrics"] == before["metrics"]
    assert len(losses(tmp_path, "run")) == 12


def test_a_finished_run_cannot_be_resumed(arguments, tmp_path, capsys):
    train.main(arguments())
    assert train.main(["--resume", str(tmp_path / "run")]) == 2
    assert "the run is finished (PUBLISHED); start a new one" in capsys.readouterr().err


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
