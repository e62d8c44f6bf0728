import json
import math
from pathlib import Path

import numpy as np
import published_checkpoints as published
import pytest
from tokenizers import Tokenizer

from apo_core.errors import CheckpointError, DecodeError
from apo_vla.actions.fast_tokenizer import FastTokenizer, read_fast_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return published.make_fast_tokenizer(tmp_path_factory.mktemp("fast") / "tokenizer")


@pytest.fixture(scope="module")
def fast(folder) -> FastTokenizer:
    return read_fast_tokenizer(folder)


@pytest.fixture(scope="module")
def coefficients(folder):
    """The rounded coefficients that tokens stand for."""
    bpe = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda ids: [ord(letter) - 40 for letter in bpe.decode(ids.tolist(), skip_special_tokens=False)]


def test_decoded_actions_are_the_rounded_coefficients(fast):
    actions = np.random.default_rng(0).uniform(-1, 1, (4, 3))
    decoded = fast.decode(fast.encode(actions), 4, 3)
    # a rounding error of 0.05 a coefficient, in an orthonormal transform
    assert np.abs(decoded - actions).max() < 0.05 * 4
    np.testing.assert_array_equal(fast.encode(decoded), fast.encode(actions))


def test_the_transform_is_orthonormal_over_time(fast, coefficients):
    # a constant action has one coefficient, sqrt(T) times it: 0.5 * 2 * 10 = 10
    constant = fast.decode(fast.encode(np.full((4, 1), 0.5)), 4, 1)
    np.testing.assert_allclose(constant, 0.5, atol=1e-12)
    assert coefficients(fast.encode(np.full((4, 1), 0.5))) == [10, 0, 0, 0]


def test_coefficients_are_row_major(fast, coefficients):
    two = np.array([[0.2, -0.3], [0.2, -0.3]])
    wanted = [round(0.2 * math.sqrt(2) * 10), round(-0.3 * math.sqrt(2) * 10), 0, 0]
    assert coefficients(fast.encode(two)) == wanted


def test_an_action_outside_the_alphabet_is_a_fault(fast):
    with pytest.raises(DecodeError, match=r"coefficients -?\d+\.\.\d+ leave the FAST tokenizer's alphabet"):
        fast.encode(np.full((4, 1), 90.0))


@pytest.mark.parametrize("change", [lambda ids: ids[:-1], lambda ids: np.append(ids, ids[0]), lambda ids: ids[:0]])
def test_tokens_that_are_no_chunk_are_a_fault(fast, change):
    ids = fast.encode(np.random.default_rng(1).uniform(-1, 1, (4, 3)))
    with pytest.raises(DecodeError, match=r"a chunk of 4 x 3 has 12"):
        fast.decode(change(ids), 4, 3)


@pytest.mark.parametrize("scale", [0, -10, float("inf")])
def test_a_scale_that_cannot_be_divided_by_is_rejected(tmp_path, scale):
    folder = published.make_fast_tokenizer(tmp_path / "fast")
    path = folder / "processor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "scale": scale}))
    with pytest.raises(CheckpointError, match=r"processor_config.json: scale = .* must be finite and above 0"):
        read_fast_tokenizer(folder)


def test_a_missing_tokenizer_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere: no FAST tokenizer"):
        read_fast_tokenizer(tmp_path / "nowhere")
