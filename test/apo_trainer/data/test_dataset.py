"""Training data from episode files: samples, held-out split, rejected files."""

import pytest

from apo_core.types import EpisodeKind
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode
from apo_trainer.data.dataset import hash_fraction, held_out_ids, load_training_data
from apo_trainer.data.episode_data import episode_data

RULE = LabelRule(undesirable_steps=3)


def test_undesirable_steps_of_another_adapter_are_only_held_out(write_episode, contract):
    paths = [write_episode(f"e{i}", "PPPHH") for i in range(5)]
    same = load_training_data(paths, RULE, 4, 1e-9, contract.sha256, undesirable_version=0).report()
    other = load_training_data(paths, RULE, 4, 1e-9, contract.sha256, undesirable_version=1).report()
    assert same.train_samples == {"EXPERT": 0, "POLICY": 0, "HUMAN": 8, "UNDESIRABLE": 12}
    assert other.train_samples == {"EXPERT": 0, "POLICY": 0, "HUMAN": 8, "UNDESIRABLE": 0}
    assert same.held_out_samples == other.held_out_samples
    assert other.held_out_samples["UNDESIRABLE"] == 3


def test_bad_files_are_rejected_with_the_reason_and_the_rest_is_used(
    write_episode, contract, contract_of_rate, tmp_path
):
    good = write_episode("good", "PPHH")
    truncated = tmp_path / "truncated.h5"
    truncated.write_bytes(good.read_bytes()[:1000])
    empty = write_episode("empty", "")
    twice = write_episode("good", "PPHH", directory=tmp_path / "copies")
    other = write_episode("other", "PPHH", contract=contract_of_rate(10.0))
    data = load_training_data([good, truncated, empty, twice, other], RULE, 4, 0.0, contract.sha256)
    assert data.episode_ids == ("good",)
    reasons = {item.path.name: item.reason for item in data.rejected}
    assert len(data.rejected) == 4
    assert "not a readable episode file" in reasons["truncated.h5"]
    assert "has no step" in reasons["empty.h5"]
    assert "same episode id" in reasons["good.h5"]
    assert reasons["other.h5"].startswith("recorded under contract")
    assert data.report().train_samples == {"EXPERT": 0, "POLICY": 0, "HUMAN": 2, "UNDESIRABLE": 2}


@pytest.mark.parametrize("purpose", ["evaluation", "reload"])
def test_what_was_recorded_for_another_purpose_is_never_trained_on(write_episode, purpose):
    deployed = write_episode("deployed", "PPPHH", tags={"purpose": "deployment"})
    other = write_episode("other", "PPPHH", tags={"purpose": purpose})
    contract = read_episode(deployed, images=False).contract
    data = load_training_data([deployed, other], RULE, 4, 0.0, contract.sha256)
    assert data.episode_ids == ("deployed",)
    assert f"recorded for {purpose}" in data.rejected[0].reason


def test_what_is_held_out_does_not_depend_on_the_parent(write_episode):
    paths = [write_episode(f"e{i}", "PPPHH") for i in range(5)]
    contract = read_episode(paths[0], images=False).contract
    held_out = [
        load_training_data(paths, RULE, 4, 1e-9, contract.sha256, version).held_out_ids for version in (None, 0, 7)
    ]
    assert len(held_out[0]) == 1
    assert held_out[0] == held_out[1] == held_out[2]


def episodes(write_episode, names, sources="PPPHH", kind=EpisodeKind.INTERACTION):
    return [episode_data(read_episode(write_episode(n, sources, kind=kind), images=False), RULE, 4) for n in names]


def test_hash_fraction_is_fixed(write_episode):
    # another value would move episodes between training and held-out
    (episode,) = episodes(write_episode, ["episode-1"])
    assert hash_fraction(episode) == pytest.approx(0.2815887833, abs=1e-9)


def test_held_out_episodes_are_those_with_a_small_hash(write_episode):
    group = episodes(write_episode, [f"e{i}" for i in range(12)])
    out = held_out_ids(group, 0.3)
    assert out == tuple(sorted(e.episode_id for e in group if hash_fraction(e) < 0.3))
    assert 0 < len(out) < 12


def test_one_episode_with_undesirable_steps_is_always_held_out(write_episode):
    group = episodes(write_episode, [f"e{i}" for i in range(5)])
    assert held_out_ids(group, 1e-9) == (min(group, key=hash_fraction).episode_id,)


def test_a_growing_set_never_holds_out_what_it_trained_on(write_episode):
    group = episodes(write_episode, [f"e{i}" for i in range(20)])
    trained: set[str] = set()
    for count in range(3, 21):
        out = set(held_out_ids(group[:count], 0.1))
        assert not out & trained
        trained |= {e.episode_id for e in group[:count]} - out


def test_a_small_group_is_kept_for_training(write_episode):
    assert held_out_ids(episodes(write_episode, ["a", "b"]), 1e-9) == ()
    assert held_out_ids(episodes(write_episode, ["c", "d", "e"]), 0.0) == ()


def test_one_takeover_is_trained_on_when_every_hash_is_small(write_episode):
    group = episodes(write_episode, [f"e{i}" for i in range(4)])
    kept = max(group, key=hash_fraction)
    assert set(held_out_ids(group, 1.0)) == {e.episode_id for e in group} - {kept.episode_id}
    assert held_out_ids(group[:1], 1.0) == ()


def test_an_episode_without_takeover_may_be_held_out_alone(write_episode):
    alone = episode_data(read_episode(write_episode("alone", "PPP"), images=False), RULE, 4)
    (other,) = episodes(write_episode, ["other"])
    assert held_out_ids([alone], 1.0) == ("alone",)
    assert held_out_ids([alone, other], 1.0) == ("alone",)


def test_held_out_samples_are_apart_from_training(write_episode, contract):
    paths = [write_episode(f"e{i}", "PPPHH") for i in range(6)]
    data = load_training_data(paths, RULE, 4, 1e-9, contract.sha256)
    assert len(data.held_out_ids) == 1
    assert {s.episode.episode_id for s in data.held_out} == set(data.held_out_ids)
    assert {s.episode.episode_id for s in data.train} == set(data.episode_ids)
    assert not set(data.episode_ids) & set(data.held_out_ids)


@pytest.mark.parametrize(
    ("held_out_of", "held_out"), [("all", {"d0", "d1", "d2", "a", "b"}), ("interactions", {"a", "b"})]
)
def test_demonstrations_are_held_out_only_where_all_may_be(write_episode, contract, held_out_of, held_out):
    paths = [write_episode(f"d{i}", "HHH", kind=EpisodeKind.DEMONSTRATION) for i in range(3)]
    paths += [write_episode(name, "PPPHH") for name in "abc"]
    data = load_training_data(paths, RULE, 4, 0.9, contract.sha256, held_out_of=held_out_of)
    assert set(data.held_out_ids) == held_out


def test_k_is_the_median_window_of_another_rule(write_episode, contract):
    # policy 0.01 a step, operator 0.5 and more: they part from the start
    paths = [write_episode("a", "PPPPPPPH"), write_episode("b", "PPPPPH"), write_episode("c", "PPH")]
    data = load_training_data(paths, LabelRule(2, 9.0), 4, 0.0, contract.sha256, k_from="disagreement")
    assert data.rule == LabelRule(5)
    report = data.report()
    assert report.k_fit == {
        "rule": "disagreement",
        "number": 3,
        "min_steps": 2,
        "median_steps": 5.0,
        "max_steps": 7,
        "fallbacks": 0,
    }
    assert report.train_samples["UNDESIRABLE"] == 5 + 5 + 2


def test_without_facts_k_stays(write_episode, contract):
    data = load_training_data([write_episode("a", "PPPPPH")], RULE, 4, 0.0, contract.sha256, k_from="stalled")
    assert data.rule == RULE
    assert (data.k_fit["number"], data.k_fit["fallbacks"]) == (1, 1)
