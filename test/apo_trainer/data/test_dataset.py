"""Samples from episode files: labels, chunk masks, held-out split, files set aside."""

import shutil

import h5py
import numpy as np
import pytest

from apo_core.errors import EpisodeFormatError
from apo_core.types import EpisodeKind, Outcome, StepLabel
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode, read_frames
from apo_trainer.data.dataset import (
    SampleClass,
    chunk_rows,
    episode_data,
    find_episodes,
    hash_fraction,
    held_out_ids,
    load_training_data,
)

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


def test_targets_are_the_human_action_where_a_person_drove_and_the_executed_one_elsewhere(write_episode):
    data = episode_data(read_episode(write_episode("a", "PPHH"), images=False), RULE, 4)
    assert data.targets[:, 0].tolist() == pytest.approx([0.0, 0.01, 0.52, 0.53], abs=1e-6)


def test_a_sample_gives_its_chunk_and_observation(write_episode, contract):
    data = load_training_data([write_episode("a", "PPPPPPHH")], RULE, 4, 0.0, contract.sha256)
    sample = data.train[4]
    actions, mask = sample.chunk(4)
    assert sample.key == f"{sample.episode.fingerprint}:4"
    assert not sample.desirable
    assert mask.tolist() == [True, True, False, False]
    assert actions[:, 3].tolist() == pytest.approx([0.04, 0.05, 0.05, 0.05], abs=1e-6)
    frames = read_frames(sample.episode.path, [sample.step])
    observation = sample.observation({name: images[0] for name, images in frames.items()})
    assert observation.images["front"].tolist() == np.full((8, 8, 3), 4).tolist()
    assert observation.state["ee_pose"].tolist() == [4.0] * 7
    assert observation.instruction == "lift the cube"


def test_a_failed_episode_without_takeover_follows_the_rule(write_episode):
    episode = read_episode(write_episode("a", "PPPPP", outcome=Outcome.FAILURE), images=False)
    assert episode_data(episode, RULE, 4).classes[2:] == (SampleClass.UNDESIRABLE,) * 3
    left_out = episode_data(episode, LabelRule(failure_rule="leave_out"), 4)
    assert left_out.classes == (None,) * 5
    assert left_out.rows.tolist() == [0] * 5


def test_undesirable_steps_of_another_adapter_are_held_out_but_not_trained_on(write_episode, contract):
    paths = [write_episode(f"e{i}", "PPPHH") for i in range(5)]
    same = load_training_data(paths, RULE, 4, 1e-9, contract.sha256, undesirable_version=0).report()
    other = load_training_data(paths, RULE, 4, 1e-9, contract.sha256, undesirable_version=1).report()
    assert same["train_samples"] == {"EXPERT": 0, "POLICY": 0, "HUMAN": 8, "UNDESIRABLE": 12}
    assert other["train_samples"] == {"EXPERT": 0, "POLICY": 0, "HUMAN": 8, "UNDESIRABLE": 0}
    assert same["held_out_samples"] == other["held_out_samples"]
    assert other["held_out_samples"]["UNDESIRABLE"] == 3


def test_an_own_success_is_one_without_a_takeover(write_episode):
    def of(name, *args, **facts):
        return episode_data(read_episode(write_episode(name, *args, **facts), images=False), RULE, 4)

    assert of("alone", "PP-PP").is_own_success
    assert not of("helped", "PPHP").is_own_success
    assert not of("failed", "PPPP", outcome=Outcome.FAILURE).is_own_success
    assert not of("shown", "HHHH", kind=EpisodeKind.DEMONSTRATION).is_own_success
    assert of("failed_again", "PPPP", outcome=Outcome.FAILURE).outcome == Outcome.FAILURE


def test_samples_are_counted_by_class_and_adapter(write_episode, contract):
    demonstration = write_episode("d", "HHH", kind=EpisodeKind.DEMONSTRATION)
    data = load_training_data([demonstration, write_episode("a", "PPPPPHH")], RULE, 4, 0.0, contract.sha256)
    (episode,) = {
        sample.episode.episode_id: sample.episode for sample in data.train if sample.episode.episode_id == "a"
    }.values()
    episode.adapter_versions[3:] = 10
    assert data.report()["train_samples_by_adapter"] == {
        "POLICY": {"0": 2},
        "HUMAN": {"10": 2},
        "UNDESIRABLE": {"0": 1, "10": 2},
    }
    assert data.undesirable_by_adapter == {"0": 1, "10": 2}


def test_a_human_step_without_a_human_action_is_refused(write_episode):
    episode = read_episode(write_episode("a", "PPH", human_recorded=False), images=False)
    with pytest.raises(EpisodeFormatError, match="step 2 was driven by HUMAN but has no human action"):
        episode_data(episode, RULE, 4)


def test_bad_files_are_set_aside_with_the_reason_and_the_rest_is_used(
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
    reasons = {item.path.name: item.reason for item in data.set_aside}
    assert len(data.set_aside) == 4
    assert "not a readable episode file" in reasons["truncated.h5"]
    assert "has no step" in reasons["empty.h5"]
    assert "same episode id" in reasons["good.h5"]
    assert reasons["other.h5"].startswith("recorded under contract")
    assert data.report()["train_samples"] == {"EXPERT": 0, "POLICY": 0, "HUMAN": 2, "UNDESIRABLE": 2}


@pytest.mark.parametrize("purpose", ["evaluation", "reload"])
def test_what_was_recorded_for_another_purpose_is_never_trained_on(write_episode, purpose):
    deployed = write_episode("deployed", "PPPHH", tags={"purpose": "deployment"})
    other = write_episode("other", "PPPHH", tags={"purpose": purpose})
    contract = read_episode(deployed, images=False).contract
    data = load_training_data([deployed, other], RULE, 4, 0.0, contract.sha256)
    assert data.episode_ids == ("deployed",)
    assert f"recorded for {purpose}" in data.set_aside[0].reason


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


def test_held_out_episodes_are_those_with_a_small_hash(write_episode):
    group = episodes(write_episode, [f"e{i}" for i in range(12)])
    out = held_out_ids(group, 0.3)
    assert out == tuple(sorted(e.episode_id for e in group if hash_fraction(e) < 0.3))
    assert 0 < len(out) < 12


def test_one_episode_with_undesirable_steps_is_held_out_when_no_hash_is_small(write_episode):
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


def test_find_episodes_takes_all_demonstrations_and_the_named_interactions(write_episode, tmp_path):
    expert, recorded = tmp_path / "expert", tmp_path / "recorded"
    demo = write_episode("demo", "HH", kind=EpisodeKind.DEMONSTRATION, directory=expert)
    first = write_episode("one", "PH", directory=recorded)
    second = write_episode("two", "PH", directory=recorded)
    assert find_episodes(recorded, expert) == ([demo, first, second], [])
    paths, missing = find_episodes(recorded, expert, ["two", "three"])
    assert paths == [demo, second]
    assert [(item.path.name, item.reason) for item in missing] == [("three.h5", "requested but not found")]


def test_find_episodes_without_folders_is_empty(tmp_path):
    assert find_episodes(tmp_path / "none", tmp_path / "nothing") == ([], [])


def test_the_report_has_the_rule_and_the_windows(write_episode, contract):
    paths = [write_episode("a", "PPPPHH"), write_episode("b", "PHPPH"), write_episode("c", "PP")]
    report = load_training_data(paths, RULE, 4, 0.0, contract.sha256).report()
    assert report["label_rule"]["undesirable_steps"] == 3
    assert report["k_fit"] is None
    assert report["undesirable_windows"] == {
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
    assert report["undesirable_windows"]["fallbacks"] == 1
    assert report["train_samples"] == {"EXPERT": 0, "POLICY": 1, "HUMAN": 2, "UNDESIRABLE": 3}


def test_k_is_the_median_window_of_another_rule(write_episode, contract):
    # policy 0.01 a step, operator 0.5 and more: they part from the start
    paths = [write_episode("a", "PPPPPPPH"), write_episode("b", "PPPPPH"), write_episode("c", "PPH")]
    data = load_training_data(paths, LabelRule(2, 9.0), 4, 0.0, contract.sha256, k_from="disagreement")
    assert data.rule == LabelRule(5)
    report = data.report()
    assert report["k_fit"] == {
        "rule": "disagreement",
        "number": 3,
        "min_steps": 2,
        "median_steps": 5.0,
        "max_steps": 7,
        "fallbacks": 0,
    }
    assert report["train_samples"]["UNDESIRABLE"] == 5 + 5 + 2


def test_without_facts_k_stays(write_episode, contract):
    data = load_training_data([write_episode("a", "PPPPPH")], RULE, 4, 0.0, contract.sha256, k_from="stalled")
    assert data.rule == RULE
    assert (data.k_fit["number"], data.k_fit["fallbacks"]) == (1, 1)
