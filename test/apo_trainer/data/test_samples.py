"""Samples: their chunk, observation and tokens."""

import dataclasses

import numpy as np
import pytest

from apo_core.types import EpisodeKind, Outcome
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode, read_frames
from apo_trainer.data.dataset import load_training_data
from apo_trainer.data.episode_data import episode_data
from apo_trainer.data.samples import Sample, SampleClass

RULE = LabelRule(undesirable_steps=3)


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


def test_an_own_success_is_one_without_a_takeover(write_episode):
    def of(name, *args, **facts):
        return episode_data(read_episode(write_episode(name, *args, **facts), images=False), RULE, 4)

    assert of("alone", "PP-PP").is_own_success
    assert not of("helped", "PPHP").is_own_success
    assert not of("failed", "PPPP", outcome=Outcome.FAILURE).is_own_success
    assert not of("shown", "HHHH", kind=EpisodeKind.DEMONSTRATION).is_own_success
    assert of("failed_again", "PPPP", outcome=Outcome.FAILURE).outcome == Outcome.FAILURE


def test_emitted_tokens_follow_the_steps_of_the_chunk(training_data):
    (episode,) = {id(s.episode): s.episode for s in training_data("PPUUH").train}.values()
    tokens = np.arange(35, dtype=np.int32).reshape(5, 7)
    episode = dataclasses.replace(episode, policy_tokens=tokens, rows=np.array([2, 1, 2, 1, 1]))
    assert Sample(episode, 2, SampleClass.UNDESIRABLE).emitted_tokens(3).tolist() == tokens[[2, 3, 3]].tolist()
    # the operator's action has no tokens of the policy
    assert Sample(episode, 4, SampleClass.HUMAN).emitted_tokens(3) is None
    unrecorded = dataclasses.replace(episode, policy_tokens=None)
    assert Sample(unrecorded, 2, SampleClass.UNDESIRABLE).emitted_tokens(3) is None
