"""What a policy predicted in a recorded episode, computed again."""

import dataclasses

import numpy as np
import pytest

from apo_core.help.features import FEATURES, HelpFeatures
from apo_core.types import ActionChunk, EpisodeKind, Outcome
from apo_episodes.reader import read_episode
from apo_trainer.help.drives import End
from apo_trainer.help.replay import replan_steps_of, replay, unusable


class Policy:
    """Its entropy is the level of the image, its actions a hundredth of it."""

    def __init__(self, contract, gain: float = 0.01):
        self._period_ns, self._gain = contract.period_ns, gain
        self.rows: list[int | None] = []

    def predict(self, observation, committed=None, rows=None):
        self.rows.append(rows)
        level = float(observation.images["front"].mean())
        return ActionChunk(
            observation.stamp_ns,
            self._period_ns,
            np.full((4, 7), self._gain * level, np.float32),
            np.full(4, -level, np.float32),
            0,
            entropies=np.full(4, level, np.float32),
        )


@pytest.fixture
def policy(contract) -> Policy:
    return Policy(contract)


def entropies(drive):
    return drive.features[:, FEATURES.index("entropy")].tolist()


def test_every_chunk_that_the_policy_drove_with_is_predicted_again(policy, record):
    found = replay(read_episode(record(policy, "e1", "PPPPPHHPPP")), policy, 2, 0)
    first, second = found.episode.drives

    assert (found.episode.episode_id, found.episode.is_unaided_success) == ("e1", False)
    assert (first.ended_by, second.ended_by) == (End.TAKEOVER, End.SUCCESS)
    assert (entropies(first), entropies(second)) == ([0.0, 2.0, 4.0], [7.0, 9.0])
    assert first.stamps_ns.tolist() == [50_000_000, 150_000_000, 250_000_000]
    assert (first.end_ns, first.driven_s) == (300_000_000, 0.25)
    assert second.end_ns == 500_000_000
    assert (found.alike, found.compared) == (5, 5)


def test_features_are_those_that_serving_computes(policy, record):
    episode = read_episode(record(policy, "e1", "PPPPPP"))
    online = HelpFeatures(episode.contract.action, 2)
    expected = []
    for step in (0, 2, 4):
        images = {name: frames[step] for name, frames in episode.images.items()}
        state = {name: values[step] for name, values in episode.state.items()}
        observation = dataclasses.make_dataclass("O", ["stamp_ns", "images"])((step + 1) * 50_000_000, images)
        expected.append(online.add(policy.predict(observation), state, step > 0))

    found = replay(episode, policy, 2, 0).episode
    assert found.is_unaided_success
    assert np.array_equal(found.drives[0].features, np.stack(expected))


def test_a_hold_begins_the_features_anew(policy, record):
    (drive,) = replay(read_episode(record(policy, "e1", "PP-PP")), policy, 2, 0).episode.drives

    assert entropies(drive) == [0.0, 3.0]
    assert drive.features[1, FEATURES.index("disagreement")] == 0.0
    assert drive.driven_s == 0.2


def test_another_policy_does_not_give_the_recorded_actions(policy, contract, record):
    episode = read_episode(record(policy, "e1", "PPPPPP", level=50))
    found = replay(episode, Policy(contract, gain=0.02), 2, 0)
    assert (found.alike, found.compared) == (0, 3)


def test_the_horizon_is_passed_on(policy, record):
    path = record(policy, "e1", "PP")
    policy.rows.clear()
    replay(read_episode(path), policy, 2, 3)
    replay(read_episode(path), policy, 2, 0)
    assert policy.rows == [3, None]


def test_the_steps_between_chunks_are_found(policy, record):
    episodes = [read_episode(record(policy, name, "PPPPPPP-P-P")) for name in ("e1", "e2")]
    assert replan_steps_of(episodes) == 2
    assert replan_steps_of([read_episode(record(policy, "e3", "PH"))]) == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"kind": EpisodeKind.DEMONSTRATION}, "is a demonstration"),
        ({"outcome": Outcome.UNLABELED}, "has no outcome"),
        ({"version": 4}, "was driven by adapter [4], not 0"),
        ({"sources": "HH"}, "was not driven by a policy"),
    ],
)
def test_episodes_of_others_are_left_out(policy, record, changes, why):
    given = {"sources": "PPHH", **changes}
    assert unusable(read_episode(record(policy, "e1", given.pop("sources"), **given)), 0) == why
