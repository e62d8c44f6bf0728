"""What Weights & Biases has of a run, offline."""

import numpy as np
import pytest

pytest.importorskip("wandb", reason="wandb is missing: pip install -r requirements/track.in")

from apo_trainer.runs.tracking.tracker import TrackedRun
from apo_trainer.runs.tracking.wandb_tracker import WandbTracker

METRICS = {"step": 1, "loss": 0.5, "log_ratio": {"EXPERT": 1.5, "HUMAN": None}}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run, and no login."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    (tmp_path / "r1").mkdir()
    return TrackedRun("r1", tmp_path / "r1", 0, {"steps": 2})


def test_offline_the_runs_folder_has_all_of_it(run):
    tracker = WandbTracker(run, "apo", "offline")
    tracker.step(METRICS, {"loss": [0.5, 0.25]})
    tracker.step({**METRICS, "step": 2}, {})
    tracker.adapter(2, {"x.lora_A.weight": np.ones((2, 2), np.float32)})
    tracker.close(True)
    (file,) = (run.folder / "wandb").glob("offline-run-*/run-*.wandb")
    data = file.read_bytes()
    for name in (b"loss", b"log_ratio/EXPERT", b"samples/loss", b"adapter/lora_A", b"first_step"):
        assert name in data
    assert b"log_ratio/HUMAN" not in data


def test_online_without_a_login_is_an_error_with_its_cure(run):
    with pytest.raises(RuntimeError, match="there is no login: type `wandb login`, or set WANDB_API_KEY"):
        WandbTracker(run, "apo", "online")
