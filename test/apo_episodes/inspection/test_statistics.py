import json
from dataclasses import replace

import numpy as np
import pytest

from apo_core.errors import EpisodeToolError
from apo_episodes.files import read_all
from apo_episodes.inspection.statistics import format_statistics, statistics
from apo_episodes.labeling import LabelRule
from apo_vla.checkpoints.statistics import compute_statistics, read_statistics


def ramp(index, step):
    """Executed x is 0, 0.1, 0.2, ...; the width is ten times that."""
    executed = np.array([index / 10, 0, 0, 0, 0, 0, 1], np.float32)
    state = {**step.observation.state, "width": np.array([index], np.float32)}
    return replace(step, executed_action=executed, observation=replace(step.observation, state=state))


def test_numbers_of_a_ramp(write):
    numbers = statistics(read_all([write("PPPPP", change=ramp)]))
    assert (numbers["num_frames"], numbers["num_episodes"]) == (5, 1)
    action, width = numbers["action"], numbers["state"]["width"]
    assert action["mean"][0] == pytest.approx(0.2)
    assert action["std"][0] == pytest.approx(0.1 * 2**0.5)
    assert (action["min"][0], action["max"][0]) == pytest.approx((0, 0.4))
    assert (action["q01"][0], action["q99"][0]) == pytest.approx((0.004, 0.396))
    assert (action["mean"][6], action["std"][6]) == (1, 0)
    assert action["mask"] == [True] * 6 + [False]
    assert width["mean"] == [2.0] and width["q99"] == pytest.approx([3.96])


def test_they_are_what_a_checkpoint_holds(takeovers, tmp_path):
    episodes = read_all(sorted(takeovers.glob("*.h5")))
    numbers = statistics(episodes)
    (tmp_path / "dataset_statistics.json").write_text(json.dumps(numbers))
    read = read_statistics(tmp_path / "dataset_statistics.json")
    expected = compute_statistics(
        np.concatenate([episode.executed_actions for episode in episodes]),
        {name: np.concatenate([episode.state[name] for episode in episodes]) for name in episodes[0].state},
        [True] * 6 + [False],
        episodes[0].contract.sha256,
    )
    assert read == expected


def test_absent_actions_are_left_out(write):
    numbers = statistics(read_all([write("PPHHP")]), "human")
    assert numbers["num_frames"] == 2
    assert numbers["action"]["mean"][0] == pytest.approx(0.0035)


def test_data_without_such_an_action_are_named(write):
    with pytest.raises(EpisodeToolError, match="none of the 1 files has a step with action/human"):
        statistics(read_all([write("PP")]), "human")


def test_the_table_has_a_line_a_dimension(write):
    lines = format_statistics(statistics(read_all([write("PPPPP", change=ramp)]))).splitlines()
    assert lines[0] == "5 steps of 1 episodes"
    assert lines[1].split() == ["q01", "q99", "mean", "std", "min", "max"]
    assert len(lines) == 2 + 7 + 7 + 1
    assert lines[-1].split() == ["width[0]", "0.04", "3.96", "2", "1.414", "0", "4"]


def test_windows_of_undesirable_steps_are_counted_over_all_episodes(write):
    episodes = read_all([write("PPPPHPH", "a"), write("PP", "b")])
    numbers = statistics(episodes, rule=LabelRule(undesirable_steps=3))
    assert numbers["undesirable_windows"] == {
        "rule": "last_k",
        "number": 2,
        "min_steps": 1,
        "median_steps": 2.0,
        "max_steps": 3,
        "fallbacks": 0,
    }
    last = "2 windows of undesirable steps by last_k: 1 to 3 steps, median 2; 0 fell back to last_k"
    assert format_statistics(numbers).splitlines()[-1] == last


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("lift-10003", 12),  # trembles above the cube and does in the end what the operator goes on with
        ("lift-10005", 0),  # carries nothing upwards, gripper closed, in all of the cut
        ("lift-10007", 8),  # closes the gripper in the air
        ("lift-10009", 4),  # turns upwards, away from the cube
    ],
)
def test_a_window_of_disagreement_begins_at_what_the_recording_shows(takeovers, name, start):
    (episode,) = read_all([takeovers / f"{name}.h5"])
    (window,) = episode.undesirable_windows(LabelRule(undesirable_rule="disagreement"))
    assert (window.start, window.end) == (start, 12)


def test_windows_of_recorded_takeovers(takeovers):
    recorded = read_all(sorted(takeovers.glob("*.h5")))

    def windows(**rule):
        numbers = statistics(recorded, rule=LabelRule(**rule))["undesirable_windows"]
        return [numbers[name] for name in ("number", "min_steps", "median_steps", "max_steps", "fallbacks")]

    assert windows(undesirable_rule="disagreement") == [4, 0, 6.0, 12, 0]
    assert windows(undesirable_rule="disagreement", undesirable_max_steps=7) == [4, 0, 5.5, 7, 0]
    assert windows(undesirable_rule="stalled") == [4, 10, 10.0, 10, 4]
