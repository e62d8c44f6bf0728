"""Numbers of the training data."""

from apo_core.types import EpisodeKind
from apo_episodes.labeling import LabelRule
from apo_trainer.data.dataset import load_training_data

RULE = LabelRule(undesirable_steps=3)


def test_samples_are_counted_by_class_and_adapter(write_episode, contract):
    demonstration = write_episode("d", "HHH", kind=EpisodeKind.DEMONSTRATION)
    data = load_training_data([demonstration, write_episode("a", "PPPPPHH")], RULE, 4, 0.0, contract.sha256)
    (episode,) = {
        sample.episode.episode_id: sample.episode for sample in data.train if sample.episode.episode_id == "a"
    }.values()
    episode.adapter_versions[3:] = 10
    assert data.report().train_samples_by_adapter == {
        "POLICY": {"0": 2},
        "HUMAN": {"10": 2},
        "UNDESIRABLE": {"0": 1, "10": 2},
    }
    assert data.undesirable_by_adapter == {"0": 1, "10": 2}


def test_the_report_has_the_rule_and_the_windows(write_episode, contract):
    paths = [write_episode("a", "PPPPHH"), write_episode("b", "PHPPH"), write_episode("c", "PP")]
    report = load_training_data(paths, RULE, 4, 0.0, contract.sha256).report()
    assert report.label_rule.undesirable_steps == 3
    assert report.k_fit is None
    assert report.undesirable_windows == {
        "rule": "last_k",
        "number": 3,
        "min_steps": 1,
        "median_steps": 2.0,
        "max_steps": 3,
        "fallbacks": 0,
    }


def test_missing_facts_are_counted(write_episode, contract):
    rule = LabelRule(undesirable_steps=3, undesirable_rule="stalled")
    report = load_training_data([write_episode("a", "PPPPHH")], rule, 4, 0.0, contract.sha256).report()
    assert report.undesirable_windows["fallbacks"] == 1
    assert report.train_samples == {"EXPERT": 0, "POLICY": 1, "HUMAN": 2, "UNDESIRABLE": 3}
