"""Chunks as FAST tokens, and how likely logits make them."""

import numpy as np
import published_checkpoints as published
import pytest
import torch

from apo_vla.actions.codec import ActionCodec
from apo_vla.actions.fast_tokenizer import read_fast_tokenizer
from apo_vla.likelihood.fast import FastLikelihood
from apo_vla.likelihood.types import Others, Pass, Targets

CODEC = ActionCodec([-1.0] * 2, [1.0] * 2, [True] * 2)
ROWS = 3


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    return read_fast_tokenizer(published.make_fast_tokenizer(tmp_path_factory.mktemp("fast") / "tokenizer"))


@pytest.fixture
def likelihood(fast):
    return FastLikelihood(CODEC, fast, ROWS, 20)


CHUNKS = np.array([[[0.5, -0.5]] * 3, [[0.1, 0.2], [0.4, -0.3], [-0.9, 0.8]]], np.float32)
ALL = np.ones((2, ROWS), bool)


def test_tokens_are_those_of_the_chunk_and_its_end_filled_with_ends(likelihood, fast):
    encoded = likelihood.encode(CHUNKS, ALL, [None, None])
    own = [[*fast.encode(chunk), fast.vocabulary] for chunk in CHUNKS]
    length = max(map(len, own))
    assert encoded.outputs.tolist() == [[*ids, *[fast.vocabulary] * (length - len(ids))] for ids in own]
    assert encoded.mask.sum(1).tolist() == [len(ids) for ids in own]


def test_chunks_that_cannot_be_scored_have_a_reason(likelihood, fast):
    assert likelihood.fault(CHUNKS[0], ALL[0]) == ""
    short = FastLikelihood(CODEC, fast, ROWS, 2)
    assert short.fault(CHUNKS[1], ALL[1]).endswith("tokens, the policy at most 2")
    # 3 rows of 1 make a coefficient of 17 at a scale of 10; at 100 rows it leaves the alphabet of -40..40
    long = FastLikelihood(CODEC, fast, 100, 1000)
    assert "leave the FAST tokenizer's alphabet" in long.fault(np.ones((100, 2), np.float32), np.ones(100, bool))


class Model:
    """The same logits at every place, (K,); those of the tokens after the recorded ones may be given."""

    def __init__(self, logits, best=None):
        self.logits, self.best = torch.tensor(logits, requires_grad=True), best

    def completion_logits(self, features, prompt_ids, tokens, rows=(), other_tokens=None, checkpointing=False):
        found = self.logits.expand(*tokens.shape, -1)
        if self.best is not None:
            found = torch.nn.functional.one_hot(self.best, len(self.logits)).float() * 9.0 + found * 0
        others = found[:0] if other_tokens is None else self.logits.detach().expand(*other_tokens.shape, -1)
        return found, others


def targets(likelihood, chunks):
    encoded = likelihood.encode(chunks, np.ones((len(chunks), ROWS), bool), [None] * len(chunks))
    actions = torch.from_numpy(CODEC.normalise(chunks).astype(np.float32).reshape(len(chunks), -1))
    outputs, mask = torch.from_numpy(encoded.outputs), torch.from_numpy(encoded.mask)
    return Targets(outputs, mask, actions, torch.ones_like(actions, dtype=torch.bool), torch.zeros(len(chunks)))


def test_a_chunk_is_as_likely_as_all_its_tokens_and_its_end(likelihood, fast):
    logits = np.random.default_rng(0).normal(size=fast.vocabulary + 1).astype(np.float32)
    wanted = targets(likelihood, CHUNKS)
    others = Others((1,), targets(likelihood, CHUNKS[:1]))
    found = likelihood.scores(Model(logits), Pass(torch.zeros(2, 1, 1), torch.zeros(2, 1), others=others), wanted)
    shares = logits - np.log(np.exp(logits).sum())
    sums = [shares[[*fast.encode(chunk), fast.vocabulary]].sum() for chunk in CHUNKS]
    assert found.logps.tolist() == pytest.approx(sums, rel=1e-5)
    assert found.other_logps.tolist() == pytest.approx(sums[:1], rel=1e-5)
    assert found.logps.requires_grad and not found.other_logps.requires_grad and not found.edges.any()


def test_the_error_is_that_of_the_decoded_chunk(likelihood, fast):
    wanted = targets(likelihood, CHUNKS)
    logits = np.zeros(fast.vocabulary + 1, np.float32)
    same = likelihood.scores(Model(logits, wanted.outputs), Pass(torch.zeros(2, 1, 1), torch.zeros(2, 1)), wanted)
    # a coefficient is rounded to a tenth
    assert 0 < same.l1.max().item() < 0.05
    ended = torch.full_like(wanted.outputs, fast.vocabulary)
    broken = likelihood.scores(Model(logits, ended), Pass(torch.zeros(2, 1, 1), torch.zeros(2, 1)), wanted)
    assert broken.l1.tolist() == [1.0, 1.0]
