"""Trackers of a training that a client library holds up, or that are missing."""

import json
import sys
from pathlib import Path

import pytest

from apo_trainer.train import main

_CLIENT = """
class MlflowClient:
    def __init__(self, tracking_uri):
        raise ConnectionError(f"no server at {tracking_uri}")
"""
NOTE = "tracker mlflow failed, and takes nothing more of this run: ConnectionError: no server at http://none:1"


@pytest.fixture
def unreachable(tmp_path, monkeypatch):
    """An MLflow whose server is gone."""
    package = tmp_path / "packages" / "mlflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(_CLIENT)
    (package / "entities.py").write_text("Metric = Param = None\n")
    monkeypatch.syspath_prepend(package.parent)
    for name in ("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "true")
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in ("mlflow", "mlflow.entities"):
        sys.modules.pop(name, None)


def test_a_server_that_is_gone_is_noted_once_and_the_run_goes_on(arguments, unreachable, tmp_path, capsys):
    assert main(arguments(tracker="tensorboard, mlflow", mlflow_uri="http://none:1")) == 0
    printed = capsys.readouterr()
    messages = [json.loads(line) for line in printed.out.splitlines()]
    assert [message["text"] for message in messages if message["event"] == "note"] == [NOTE]
    assert printed.err.count(NOTE) == 1
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["state"], result["steps"]) == ("PUBLISHED", 10)
    assert NOTE in result["notes"]
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 10
    assert len(list((tmp_path / "run").glob("events.out.tfevents.*"))) == 1


def test_a_missing_package_is_an_error_before_the_run(arguments, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main(arguments(tracker="wandb")) == 2
    text = capsys.readouterr().err
    assert "tracker = 'wandb' needs the Python package 'wandb', which is not installed" in text
    assert "requirements/track.in" in text
    assert not Path(tmp_path / "run").exists()


def test_no_tracker_leaves_the_metrics_alone(arguments, tmp_path):
    assert main(arguments(tracker="none")) == 0
    assert list((tmp_path / "run").glob("events.out.tfevents.*")) == []
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 10
