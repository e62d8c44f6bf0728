from dataclasses import replace

import numpy as np
import pytest

from apo_core.errors import EpisodeToolError
from apo_core.types import Outcome, StepLabel
from apo_episodes.curate.cut import cut_episode, iterate_steps
from apo_episodes.inspection.validate import validate
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode, verify_checksums


def with_streams(index, step):
    stamp = step.observation.stamp_ns
    observation = replace(
        step.observation, header_stamps_ns={"front": stamp - 1, "width": stamp}, receive_ns={"front": stamp + 3}
    )
    return replace(step, observation=observation, clipped="linear_speed" if index == 4 else "")


def test_the_parts_together_are_the_episode(write, tmp_path):
    whole = read_episode(write("PPPHHPOP", change=with_streams, pre_roll_steps=4))
    paths = cut_episode(whole, [3, 5], tmp_path / "parts")
    assert [path.name for path in paths] == ["e1-part1.h5", "e1-part2.h5", "e1-part3.h5"]
    parts = [read_episode(path) for path in paths]
    assert [part.num_steps for part in parts] == [3, 2, 3]
    for name in ("executed_actions", "policy_actions", "human_actions", "adapter_versions", "ticks"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))
    for name in ("images", "state", "stamps_ns", "header_stamps_ns", "stream_receive_ns"):
        for key, values in getattr(whole, name).items():
            np.testing.assert_array_equal(np.concatenate([getattr(part, name)[key] for part in parts]), values)
    for name in ("sources", "reasons", "clipped"):
        assert sum((getattr(part, name) for part in parts), ()) == getattr(whole, name)
    assert [part.info.pre_roll_steps for part in parts] == [3, 1, 0]
    assert all(verify_checksums(path) == [] and validate(path).faults == [] for path in paths)


def test_only_the_last_part_keeps_the_outcome(write, tmp_path):
    parts = [read_episode(path) for path in cut_episode(read_episode(write("PPPP")), [2], tmp_path / "parts")]
    assert [part.outcome.outcome for part in parts] == [Outcome.UNLABELED, Outcome.SUCCESS]
    assert [part.outcome.reason for part in parts] == ["cut", "test"]
    assert parts[0].info.tags == {"round": "1", "cut_from": "e1", "cut_steps": "0:2"}
    assert parts[1].info.tags["cut_steps"] == "2:4"
    assert parts[1].info.operator == "ann"


def test_a_window_before_a_takeover_ends_at_a_cut(write, tmp_path):
    whole = read_episode(write("PPPH"))
    rule = LabelRule(undesirable_steps=2)
    assert whole.labels(rule)[1] == StepLabel.UNDESIRABLE
    before, after = (read_episode(path) for path in cut_episode(whole, [2], tmp_path / "parts"))
    assert before.labels(rule) == [StepLabel.DESIRABLE] * 2
    assert after.labels(rule) == [StepLabel.UNDESIRABLE, StepLabel.CORRECTED]


def test_missing_ticks_are_counted_in_their_part(write, tmp_path):
    path = write("PPPP", change=lambda i, step: replace(step, tick=step.tick + (2 if i == 3 else 0)))
    first, second = (read_episode(part) for part in cut_episode(read_episode(path), [2], tmp_path / "parts"))
    assert first.losses == {"frames_recorded": 2, "commands_lost": 0, "frames_lost": 0}
    assert second.losses == {"frames_recorded": 2, "commands_lost": 2, "frames_lost": 2}


@pytest.mark.parametrize("compression", ["jpeg", "gzip", "none"])
def test_frames_are_not_packed_with_loss_a_second_time(write, tmp_path, compression):
    whole = read_episode(write("PPPP", compression=compression))
    parts = [read_episode(path) for path in cut_episode(whole, [2], tmp_path / "parts")]
    np.testing.assert_array_equal(np.concatenate([part.images["front"] for part in parts]), whole.images["front"])
    assert parts[0].image_compression == {"jpeg": "zstd"}.get(compression, compression)


@pytest.mark.parametrize("at", [[], [0], [4], [2, 2], [3, 1], [-1], [9]])
def test_steps_outside_the_episode_are_rejected(write, tmp_path, at):
    with pytest.raises(EpisodeToolError, match=r"e1\.h5: cannot be cut at .*1\.\.3"):
        cut_episode(read_episode(write("PPPP")), at, tmp_path / "parts")
    assert not (tmp_path / "parts").exists()


def test_a_recording_of_the_first_schema_is_cut_too(takeovers, tmp_path):
    whole = read_episode(takeovers / "lift-10003.h5")
    parts = [read_episode(path) for path in cut_episode(whole, [12], tmp_path / "parts")]
    np.testing.assert_array_equal(np.concatenate([part.images["wrist"] for part in parts]), whole.images["wrist"])
    assert [part.takeovers for part in parts] == [[], [0]]


def test_steps_are_what_was_written(write):
    steps = list(iterate_steps(read_episode(write("PHO"))))
    assert [(step.tick, str(step.source)) for step in steps] == [(1, "POLICY"), (2, "HUMAN"), (3, "HOLD")]
    assert steps[0].human_action is None and steps[2].policy_action is None
    np.testing.assert_array_equal(steps[1].human_action, np.full(7, 0.002, np.float32))
    assert (steps[1].command_stamp_ns, steps[1].receive_ns, steps[1].reason) == (200_000_007, 200_000_009, "because 2")


def test_optional_facts_survive_a_cut(write, with_facts, tmp_path):
    whole = read_episode(write("PPPPP", change=with_facts))
    paths = cut_episode(whole, [1, 3], tmp_path / "parts")
    parts = [read_episode(path) for path in paths]
    assert parts[0].policy_tokens is None and parts[0].task_remaining is None
    np.testing.assert_array_equal(np.concatenate([part.policy_tokens for part in parts[1:]]), whole.policy_tokens[1:])
    np.testing.assert_array_equal(np.concatenate([part.task_remaining for part in parts[1:]]), whole.task_remaining[1:])
    np.testing.assert_array_equal(np.concatenate([part.task_stages for part in parts[1:]]), whole.task_stages[1:])
    assert all(verify_checksums(path) == [] and validate(path).faults == [] for path in paths)
