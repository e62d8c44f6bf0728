"""What MLflow has of a run, in a folder of files."""

from pathlib import Path

import numpy as np
import pytest

mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is missing: pip install -r requirements/track.in")

from apo_trainer.runs.tracking.mlflow_tracker import MlflowTracker
from apo_trainer.runs.tracking.tracker import TrackedRun

METRICS = {"step": 1, "loss": 0.5, "log_ratio": {"EXPERT": 1.5, "HUMAN": None}}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "true")
    folder = tmp_path / "training" / "r1"
    folder.mkdir(parents=True)
    return TrackedRun("r1", folder, 0, {f"p{number}": number for number in range(130)})


def stored(folder: Path):
    client = mlflow.MlflowClient(tracking_uri=folder.as_uri())
    return client, client.search_runs([client.get_experiment_by_name("apo").experiment_id])


def test_a_run_is_in_the_folder_beside_the_runs(run):
    tracker = MlflowTracker(run, "", "apo")
    tracker.step(METRICS, {"loss": [0.5, 0.25]})
    tracker.step({**METRICS, "step": 2, "loss": 0.375}, {})
    tracker.adapter(2, {"x.lora_A.weight": np.array([[3.0, 4.0]], np.float32)})
    tracker.close(True)
    client, (made,) = stored(run.folder.parent / "mlflow")
    assert (made.info.run_name, made.info.status) == ("r1", "FINISHED")
    assert (made.data.tags["apo.run"], made.data.tags["apo.first_step"]) == ("r1", "0")
    assert len(made.data.params) == 130 and made.data.params["p129"] == "129"
    losses = client.get_metric_history(made.info.run_id, "loss")
    assert [(each.step, each.value) for each in losses] == [(1, 0.5), (2, 0.375)]
    assert made.data.metrics["log_ratio/EXPERT"] == 1.5 and "log_ratio/HUMAN" not in made.data.metrics
    assert made.data.metrics["adapter/lora_A_rms"] == pytest.approx(12.5**0.5)


def test_a_run_that_goes_on_or_fails_is_marked(run, tmp_path):
    where = (tmp_path / "elsewhere").as_uri()
    MlflowTracker(run, where, "apo").close(False)
    MlflowTracker(TrackedRun("r1", run.folder, 25, {}), where, "apo").close(True)
    _, made = stored(tmp_path / "elsewhere")
    assert {(each.data.tags["apo.first_step"], each.info.status) for each in made} == {
        ("0", "FAILED"),
        ("25", "FINISHED"),
    }
