from dataclasses import replace

import numpy as np
import pytest

from apo_core.contract.contract import contract_from_dict
from apo_core.errors import EpisodeToolError
from apo_core.types import EpisodeKind
from apo_episodes.formats.unit_actions import full_scale, shown_actions, to_unit
from apo_episodes.reader import read_episode


@pytest.fixture
def contract(small_contract):
    data = small_contract.as_dict()
    data["action"]["low"] = [-1, -1, -1, -10, -10, -2, -1]
    data["action"]["high"] = [1, 1, 1, 10, 10, 5, 1]
    return contract_from_dict(data, "scaled")


def executing(values):
    return lambda _, step: replace(step, executed_action=np.array(values, np.float32))


def test_zero_stays_zero_where_limits_are_not_symmetric(contract):
    assert full_scale(contract).tolist() == [1, 1, 1, 10, 10, 5, 1]


def test_full_speed_is_one(write, contract):
    episode = read_episode(write("P", contract=contract, change=executing([0.5, -1, 0, 5, -10, 5, 1])))
    unit = to_unit(episode, episode.executed_actions, clip=False)
    assert unit.dtype == np.float32
    assert unit.tolist() == [[0.5, -1, 0, 0.5, -1, 1, 1]]


def test_an_absent_action_stays_absent(write, contract):
    episode = read_episode(write("P", contract=contract))
    assert np.isnan(to_unit(episode, episode.human_actions, clip=False)).all()


def test_rounding_is_forgiven_and_more_is_not(write, contract):
    small = read_episode(write("P", "a", contract=contract, change=executing([0, 0, 0, 10.005, 0, 0, 0])))
    assert to_unit(small, small.executed_actions, clip=False)[0, 3] == 1
    large = read_episode(write("PP", "b", contract=contract, change=executing([0, 0, 0, 10.5, 0, 0, 0])))
    with pytest.raises(
        EpisodeToolError, match=r"b\.h5: action 'd' = 10\.5 at step 0 is beyond the contract's -10\.0 .. 10"
    ):
        to_unit(large, large.executed_actions, clip=False)
    assert to_unit(large, large.executed_actions, clip=True)[0, 3] == 1


def test_a_demonstration_shows_what_the_expert_wanted(write):
    noisy = executing([0.9] * 7)
    demonstration = read_episode(write("HH", "a", kind=EpisodeKind.DEMONSTRATION, change=noisy))
    np.testing.assert_allclose(shown_actions(demonstration)[:, 0], [0.001, 0.002])
    interaction = read_episode(write("HH", "b", change=noisy))
    np.testing.assert_allclose(shown_actions(interaction), 0.9)
