"""Labels and chunk masks of an episode."""

import shutil

import h5py
import numpy as np
import pytest

from apo_core.errors import EpisodeFormatError
from apo_core.types import EpisodeKind, Outcome, StepLabel
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode
from apo_trainer.data.episode_data import chunk_rows, episode_data
from apo_trainer.data.samples import SampleClass

RULE = LabelRule(undesirable_steps=3)
D, C, U, X = StepLabel.DESIRABLE, StepLabel.CORRECTED, StepLabel.UNDESIRABLE, StepLabel.UNUSED


def rows(labels, ticks=None, disturbed=(), horizon=4):
    ticks = np.arange(len(labels)) if ticks is None else np.array(ticks)
    return chunk_rows(labels, ticks, np.isin(np.arange(len(labels)), disturbed), horizon).tolist()


def test_a_chunk_is_cut_where_the_label_changes():
    assert rows([D, D, D, U, U, C, C]) == [3, 2, 1, 2, 1, 2, 1]


def test_a_chunk_is_at_most_the_horizon():
    assert rows([C] * 6) == [4, 4, 4, 3, 2, 1]


def test_a_chunk_is_cut_before_a_step_that_is_not_used():
    assert rows([C, C, X, C]) == [2, 1, 0, 1]


def test_a_chunk_is_cut_at_a_lost_tick():
    assert rows([C, C, C], ticks=[0, 1, 3]) == [2, 1, 1]


def test_a_chunk_ends_after_a_step_that_was_executed_otherwise():
    assert rows([C] * 5, disturbed=[1, 2]) == [2, 1, 1, 2, 1]


def test_a_human_step_with_noise_in_its_execution_ends_its_chunk(write_episode):
    path = write_episode("a", "HHHHH", kind=EpisodeKind.DEMONSTRATION, noise=(2,))
    assert episode_data(read_episode(path, images=False), RULE, 4).rows.tolist() == [3, 2, 1, 2, 1]


def test_classes_follow_the_labels(write_episode):
    data = episode_data(read_episode(write_episode("a", "PPPPPHH-P"), images=False), RULE, 4)
    names = [None if c is None else str(c) for c in data.classes]
    assert names == ["POLICY", "POLICY", *["UNDESIRABLE"] * 3, "HUMAN", "HUMAN", None, "POLICY"]
    assert data.rows.tolist() == [2, 1, 3, 2, 1, 2, 1, 0, 1]


def test_every_step_of_a_demonstration_is_expert(write_episode):
    path = write_episode("a", "HHHHH", kind=EpisodeKind.DEMONSTRATION)
    assert set(episode_data(read_episode(path, images=False), RULE, 4).classes) == {SampleClass.EXPERT}


def test_targets_are_human_action_under_human_control_else_executed_one(write_episode):
    data = episode_data(read_episode(write_episode("a", "PPHH"), images=False), RULE, 4)
    assert data.targets[:, 0].tolist() == pytest.approx([0.0, 0.01, 0.52, 0.53], abs=1e-6)


def test_a_failed_episode_without_takeover_follows_the_rule(write_episode):
    episode = read_episode(write_episode("a", "PPPPP", outcome=Outcome.FAILURE), images=False)
    assert episode_data(episode, RULE, 4).classes[2:] == (SampleClass.UNDESIRABLE,) * 3
    left_out = episode_data(episode, LabelRule(failure_rule="leave_out"), 4)
    assert left_out.classes == (None,) * 5
    assert left_out.rows.tolist() == [0] * 5


def test_a_human_step_without_a_human_action_is_rejected(write_episode):
    episode = read_episode(write_episode("a", "PPH", human_recorded=False), images=False)
    with pytest.raises(EpisodeFormatError, match="step 2 was driven by HUMAN but has no human action"):
        episode_data(episode, RULE, 4)


def test_the_same_happening_under_another_name_is_held_out_alike(write_episode, tmp_path):
    path = write_episode("e1", "PPPHH")
    renamed = tmp_path / "e2.h5"
    shutil.copy(path, renamed)
    with h5py.File(renamed, "r+") as file:
        file.attrs["episode_id"] = "e2"
        file.attrs["created_utc"] = "2031-01-01T00:00:00Z"
    same, other, changed = (
        episode_data(read_episode(p, images=False), RULE, 4) for p in (path, renamed, write_episode("e3", "PPPHP"))
    )
    assert (same.episode_id, other.episode_id) == ("e1", "e2")
    assert same.fingerprint == other.fingerprint != changed.fingerprint
