"""What a token is predicted from may be noisy."""

import numpy as np

from apo_trainer.data.prefix_noise import PrefixNoise

TOKENS = np.tile(np.arange(100, 128), (40, 1))


def test_without_share_and_jitter_there_is_none():
    assert not PrefixNoise(0.0, 0.0, 256, seed=0)
    assert PrefixNoise(0.1, 0.0, 256, seed=0) and PrefixNoise(0.0, 1.0, 256, seed=0)
    np.testing.assert_array_equal(PrefixNoise(0.0, 0.0, 256, seed=0).apply(TOKENS, step=3), TOKENS)


def test_a_share_of_the_tokens_becomes_random():
    noisy = PrefixNoise(0.3, 0.0, 256, seed=0).apply(TOKENS, step=0)
    assert 0.25 < np.mean(noisy != TOKENS) < 0.35
    assert noisy.min() >= 0 and noisy.max() <= 255
    changed = noisy[noisy != TOKENS]
    assert changed.min() < 40 and changed.max() > 215


def test_jitter_shifts_within_the_bins():
    noisy = PrefixNoise(0.0, 4.0, 256, seed=0).apply(TOKENS, step=0)
    assert 3.5 < np.std(noisy - TOKENS) < 4.5
    edges = PrefixNoise(0.0, 4.0, 256, seed=0).apply(np.array([[0, 255] * 50]), step=0)
    assert edges.min() == 0 and edges.max() == 255


def test_it_follows_from_seed_step_and_row_alone():
    noise = PrefixNoise(0.3, 4.0, 256, seed=5)
    whole = noise.apply(TOKENS, step=7)
    np.testing.assert_array_equal(noise.apply(TOKENS[30:], step=7, first_row=30), whole[30:])
    np.testing.assert_array_equal(PrefixNoise(0.3, 4.0, 256, seed=5).apply(TOKENS, step=7), whole)
    assert (noise.apply(TOKENS, step=8) != whole).any()
    assert (PrefixNoise(0.3, 4.0, 256, seed=6).apply(TOKENS, step=7) != whole).any()
