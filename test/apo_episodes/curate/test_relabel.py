import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from apo_core.contract.contract import contract_from_dict
from apo_core.errors import EpisodeToolError
from apo_core.types import Outcome
from apo_episodes.curate.relabel import label_counts, read_labels, write_labels
from apo_episodes.files import read_all
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode


@pytest.mark.parametrize(
    ("rule", "counts"),
    [
        (LabelRule(undesirable_steps=2), [3, 2, 2, 1]),
        (LabelRule(undesirable_steps=0), [5, 2, 0, 1]),
        (LabelRule(undesirable_seconds=0.4), [1, 2, 4, 1]),
    ],
)
def test_another_rule_gives_other_labels_of_the_same_facts(write, rule, counts):
    episode = read_episode(write("PPPPHHOP"), images=False)
    assert list(label_counts(episode, rule).values()) == counts


def test_labels_are_kept_beside_the_files(write, tmp_path):
    paths = [write("PPPPHHP", "a"), write("PP", "b", Outcome.FAILURE)]
    before = [path.read_bytes() for path in paths]
    rule = LabelRule(undesirable_steps=3)
    write_labels(read_all(paths), rule, tmp_path / "labels.json")
    assert [path.read_bytes() for path in paths] == before
    for path in paths:
        episode = read_episode(path, images=False)
        assert read_labels(tmp_path / "labels.json", episode) == (rule, episode.labels(rule))
    document = json.loads((tmp_path / "labels.json").read_text())
    assert document["episodes"]["a"]["labels"] == [
        ["DESIRABLE", 1],
        ["UNDESIRABLE", 3],
        ["CORRECTED", 2],
        ["DESIRABLE", 1],
    ]


def test_labels_of_another_content_are_rejected(write, tmp_path):
    path = write()
    write_labels(read_all([path]), LabelRule(), tmp_path / "labels.json")
    with h5py.File(path, "r+") as f:
        f.attrs["operator"] = "bob"
    with pytest.raises(EpisodeToolError, match="belong to another content"):
        read_labels(tmp_path / "labels.json", read_episode(path, images=False))


def test_an_episode_without_labels_is_named(write, tmp_path):
    write_labels(read_all([write(episode_id="a")]), LabelRule(), tmp_path / "labels.json")
    with pytest.raises(EpisodeToolError, match="has no labels of episode 'b'"):
        read_labels(tmp_path / "labels.json", read_episode(write(episode_id="b"), images=False))


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "{}",
        '{"schema": "apo.labels", "schema_version": 2}',
        '{"schema": "apo.episode", "schema_version": 1}',
        '{"schema": "apo.labels", "schema_version": 1, "rule": {"undesirable_steps": -1}, "episodes": {}}',
        '{"schema": "apo.labels", "schema_version": 1, "rule": {}, "episodes": {"e1": {"labels": [["NONE", 1]]}}}',
    ],
)
def test_what_is_no_label_file_is_rejected(write, tmp_path, text):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(EpisodeToolError, match=r"labels\.json"):
        read_labels(tmp_path / "labels.json", read_episode(write(), images=False))


def test_progress_of_the_task_gives_the_labels(write, tmp_path):
    episode = read_episode(write("PPPPPHP"), images=False)
    rule = LabelRule(undesirable_steps=1, undesirable_rule="stalled")
    assert list(label_counts(episode, rule).values()) == [5, 1, 1, 0]
    object.__setattr__(episode, "task_remaining", np.array([0.3, 0.2, 0.2, 0.2, 0.2, 0.2, 0.1], np.float32))
    assert list(label_counts(episode, rule).values()) == [3, 1, 3, 0]
    assert [(w.start, w.end, w.rule) for w in episode.undesirable_windows(rule)] == [(2, 5, "stalled")]
    write_labels([episode], rule, tmp_path / "labels.json")
    assert read_labels(tmp_path / "labels.json", episode)[0] == rule


def test_actions_are_compared_in_the_range_of_the_contract(write, small_contract):
    data = small_contract.as_dict()
    data["action"] = {**data["action"], "low": [-2.0] * 7, "high": [6.0] * 7}
    contract = contract_from_dict(data, "test")

    def change(index, step):
        return replace(
            step,
            policy_action=np.full(7, [2.0, 2.0, 3.0, 3.0, 3.0][index], np.float32),
            human_action=np.full(7, 7.0 if index == 3 else 1.0, np.float32) if index > 2 else None,
        )

    episode = read_episode(write("PPPHH", change=change, contract=contract), images=False)
    facts = episode.facts
    assert facts.policy_actions[:, 0].tolist() == [0.0, 0.0, 0.25, 0.25, 0.25]
    # 7 is executed as 6
    assert facts.human_actions[3:, 6].tolist() == [1.0, -0.25]
    # the intent is 0.375
    rule = LabelRule(undesirable_rule="disagreement", disagreement_tolerance=0.3)
    assert [(w.start, w.end) for w in episode.undesirable_windows(rule)] == [(3, 3)]
    rule = LabelRule(undesirable_rule="disagreement", disagreement_tolerance=0.1)
    assert [(w.start, w.end) for w in episode.undesirable_windows(rule)] == [(0, 3)]
