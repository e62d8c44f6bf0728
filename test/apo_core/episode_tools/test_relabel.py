import json

import h5py
import pytest

from apo_core.episode_file import read_episode
from apo_core.episode_tools.files import read_all
from apo_core.episode_tools.relabel import label_counts, read_labels, write_labels
from apo_core.errors import EpisodeToolError
from apo_core.labeling import LabelRule
from apo_core.types import Outcome


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


def test_labels_of_another_content_are_refused(write, tmp_path):
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
def test_what_is_no_label_file_is_refused(write, tmp_path, text):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(EpisodeToolError, match=r"labels\.json"):
        read_labels(tmp_path / "labels.json", read_episode(write(), images=False))
