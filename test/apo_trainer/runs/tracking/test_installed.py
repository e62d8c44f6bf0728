"""Packages of trackers."""

import sys

import pytest

from apo_core.errors import ConfigError
from apo_trainer.config import TrainerConfig
from apo_trainer.runs.tracking.installed import check_trackers


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError) as caught:
        check_trackers(TrainerConfig(tracker="mlflow, wandb"))
    assert caught.value.faults == [
        f"tracker = 'mlflow, wandb' needs the Python package '{package}', which is not installed: "
        "pip install -c requirements/lock.txt -r requirements/track.in (the extra `track`)"
        for package in ("mlflow-skinny", "wandb")
    ]


def test_a_folder_of_that_name_is_no_package(monkeypatch, tmp_path):
    (tmp_path / "wandb").mkdir()
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(ConfigError):
        check_trackers(TrainerConfig(tracker="wandb"))


def test_tensorboard_and_none_need_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    check_trackers(TrainerConfig())
    check_trackers(TrainerConfig(tracker="none"))
