"""Stages of a run that need torch."""

import os

import pytest
import torch

from apo_trainer.config import TrainerConfig
from apo_trainer.runs.stages import start_processes


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine of four cores; torch has its threads back afterwards."""
    before = torch.get_num_threads()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    yield
    torch.set_num_threads(before)


def test_training_leaves_a_core_to_the_nodes():
    start_processes(TrainerConfig(threads=0))
    assert torch.get_num_threads() == 3


def test_threads_are_those_of_the_parameter():
    start_processes(TrainerConfig(threads=2))
    assert torch.get_num_threads() == 2


def test_one_core_has_one_thread(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5})
    start_processes(TrainerConfig(threads=0))
    assert torch.get_num_threads() == 1


def test_threads_of_a_launcher_stay(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    torch.set_num_threads(2)
    start_processes(TrainerConfig(threads=0))
    assert torch.get_num_threads() == 2
