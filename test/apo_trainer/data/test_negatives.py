"""Actions the policy shall not take: recorded shadow actions, and synthetic ones."""

import dataclasses

import numpy as np
import pytest

from apo_trainer.data.negatives import has_shadow, shadow_chunk, synthetic_chunk
from apo_trainer.data.samples import EpisodeData, Sample, SampleClass
from apo_vla.actions.codec import ActionCodec

H, E = SampleClass.HUMAN, SampleClass.EXPERT


def episode(policy_actions, rows) -> EpisodeData:
    steps = len(policy_actions)
    return EpisodeData(
        path=None,
        episode_id="e",
        fingerprint="00",
        kind=None,
        instruction="",
        state={},
        stamps_ns=np.arange(steps),
        targets=np.full((steps, 2), 0.5, np.float32),
        policy_actions=np.array(policy_actions, np.float32),
        classes=(H,) * steps,
        adapter_versions=np.zeros(steps, np.uint32),
        rows=np.array(rows),
    )


def test_the_shadow_chunk_has_the_policy_actions_of_rows_that_count():
    sample = Sample(episode([[1, 2], [3, 4], [5, 6]], rows=[2, 2, 1]), 1, H)
    actions, mask = shadow_chunk(sample, 4)
    assert actions.tolist() == [[3, 4], [5, 6], [5, 6], [5, 6]]
    assert mask.tolist() == [True, True, False, False]
    assert mask.tolist() == sample.chunk(4)[1].tolist()


def test_a_shadow_is_needed_in_every_row_that_counts():
    nan = np.nan
    gap = episode([[1, 2], [nan, nan], [5, 6]], rows=[2, 2, 1])
    assert [has_shadow(Sample(gap, step, H)) for step in range(3)] == [False, False, True]
    short = dataclasses.replace(gap, rows=np.array([1, 1, 1]))
    assert [has_shadow(Sample(short, step, H)) for step in range(3)] == [True, False, True]


def test_an_expert_has_no_shadow():
    assert not has_shadow(Sample(episode([[1, 2]], rows=[1]), 0, E))


@pytest.fixture
def codec() -> ActionCodec:
    return ActionCodec([-2.0, -1.0], [2.0, 1.0], [True, False])


def test_synthetic_chunk_has_noise_of_wanted_size_in_normalised_space(codec):
    sample = Sample(episode([[0, 0]], rows=[1]), 0, E)
    rng = np.random.default_rng(0)
    noise = np.concatenate([synthetic_chunk(sample, 4, codec, 0.1, rng)[0] for _ in range(500)]) - 0.5
    # half the range of the first dimension is 2, the second passes through
    assert noise.std(axis=0) == pytest.approx([0.2, 0.1], rel=0.1)
    assert abs(noise.mean()) < 0.02


def test_a_synthetic_chunk_stays_in_range_and_keeps_the_mask(codec):
    actions, mask = synthetic_chunk(
        Sample(episode([[0, 0]] * 3, rows=[2, 2, 1]), 1, E), 4, codec, 2.0, np.random.default_rng(1)
    )
    assert np.all(np.abs(actions) <= [2.0, 1.0])
    assert mask.tolist() == [True, True, False, False]
