import json
from dataclasses import replace

import numpy as np
import pytest

from apo_core.episode_tools.files import read_all
from apo_core.episode_tools.statistics import format_statistics, statistics
from apo_core.errors import EpisodeToolError
from apo_core.vla.statistics import compute_statistics, read_statistics


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
