"""Fixtures of small trainings."""

import pytest
import small_training

from apo_trainer.runs import plot

contract, write_episode, interactions = (
    small_training.contract,
    small_training.write_episode,
    small_training.interactions,
)
tiny_model, checkpoint = small_training.tiny_model, small_training.checkpoint


@pytest.fixture(autouse=True)
def no_pictures_of_trainings(monkeypatch):
    """They have tests of their own, and drawing one takes longer than a training here."""
    monkeypatch.setattr(plot, "write_report", lambda path, metrics, title, verdict: path.write_bytes(b""))
