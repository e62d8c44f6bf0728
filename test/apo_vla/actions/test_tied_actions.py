"""Every place that scores actions adds up the tokens that are one action, with a policy that emits both of a pair."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import published_checkpoints as published
import pytest
import torch
from small_policy import teacher_forced

from apo_core.types import Observation
from apo_vla.decoding.static import StaticDecoder
from apo_vla.lora.adapter import LoraSettings
from apo_vla.policy import Prepared, VlaPolicy
from apo_vla.serving.policy import ServingPolicy

LORA = LoraSettings(rank=2)
TIED = (254, 255)
POSE = np.array([0.1, -0.05, 1.1, 0.0, 0.7071068, 0.0, 0.7071068], np.float32)


def seen(seed: int) -> Observation:
    rng = np.random.default_rng(seed)
    images = {name: rng.integers(0, 256, (84, 84, 3), dtype=np.uint8) for name in ("agentview", "wrist")}
    return Observation(7, images, {"ee_pose": POSE, "gripper_width": np.array([0.05], np.float32)}, "lift the red cube")


OBSERVATIONS = [seen(seed) for seed in range(4)]


def batch(policy, observations=OBSERVATIONS) -> Prepared:
    return policy.prepare([o.images for o in observations], [o.state for o in observations], "lift the red cube")


def tie(policy: VlaPolicy, head: torch.Tensor, row: Callable[[int], int]) -> None:
    """Gives the last two bins nearly the same row of the head, which is the largest: either may be emitted."""
    common = int(np.bincount(policy.generate(batch(policy))[0].ravel()).argmax())
    with torch.no_grad():
        largest, noise = 1.5 * head[row(common)], torch.randn(head.shape[1], generator=torch.Generator().manual_seed(0))
        for bin_, sign in zip(TIED, (1, -1), strict=True):
            head[row(bin_)] = largest + sign * 0.05 * largest.norm() / noise.norm() * noise


@dataclass(frozen=True)
class Emitted:
    """A policy's answers to OBSERVATIONS."""

    policy: VlaPolicy
    tokens: np.ndarray  # (B, L)
    log_probs: np.ndarray  # (B, L) of its own generate
    expected: np.ndarray  # (B, L) sums of the softmax of teacher-forced logits over the class of each token
    entropies: np.ndarray  # (B, L) of the sums over each class


def of_classes(policy: VlaPolicy, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ready = batch(policy)
    with torch.no_grad():
        logits = policy.model.action_logits(policy.features(ready), ready.prompt_ids, torch.from_numpy(tokens))
    shares = logits.double().softmax(-1).numpy()
    log_probs, entropies = np.empty(tokens.shape), np.empty(tokens.shape)
    for row, place in np.ndindex(tokens.shape):
        classes = policy.codec.classes[place % policy.codec.size]
        sums = np.bincount(classes, shares[row, place])
        log_probs[row, place] = np.log(sums[classes[tokens[row, place]]])
        entropies[row, place] = -(sums[sums > 0] * np.log(sums[sums > 0])).sum()
    return log_probs, entropies


@pytest.fixture
def small(tiny_model, tiny_tokenizer, tiny_statistics) -> VlaPolicy:
    policy = VlaPolicy(tiny_model, tiny_tokenizer, tiny_statistics, lora=LORA)
    tie(policy, tiny_model.action_head.weight, lambda bin_: bin_)
    return policy


def tied_checkpoint(folder) -> VlaPolicy:
    policy = VlaPolicy.load(folder, lora=LORA)
    end = policy.config.action_end
    tie(policy, policy.model.language_model.lm_head.weight, lambda bin_: end - 1 - bin_)
    return policy


@pytest.fixture
def openvla(openvla_folder) -> VlaPolicy:
    return tied_checkpoint(openvla_folder)


@pytest.fixture
def oft(tmp_path) -> VlaPolicy:
    return tied_checkpoint(published.make_openvla_oft(tmp_path / "oft", continuous=False))


@pytest.fixture(params=["small", "openvla", "oft"])
def emitted(request) -> Emitted:
    policy = request.getfixturevalue(request.param)
    tokens, log_probs = policy.generate(batch(policy))
    assert set(TIED) <= set(tokens.ravel().tolist())
    return Emitted(policy, tokens, log_probs, *of_classes(policy, tokens))


def test_generating_and_scoring_agree_on_the_sum_of_both_tokens(emitted):
    policy = emitted.policy
    np.testing.assert_allclose(emitted.log_probs, emitted.expected, atol=1e-3)
    scored = teacher_forced(policy, batch(policy), emitted.tokens).detach().numpy()
    np.testing.assert_allclose(scored, emitted.expected, atol=1e-3)
    ready = batch(policy)
    with torch.no_grad():
        logits = policy.model.action_logits(policy.features(ready), ready.prompt_ids, torch.from_numpy(emitted.tokens))
    alone = np.take_along_axis(logits.log_softmax(-1).numpy(), emitted.tokens[..., None], -1)[..., 0]
    assert (emitted.expected - alone)[np.isin(emitted.tokens, TIED)].max() > 0.1


def test_a_policy_that_serves_scores_as_the_one_that_is_trained(emitted):
    serving = ServingPolicy(emitted.policy)
    for policy in (serving, serving.second_slot()):
        for row, observation in enumerate(OBSERVATIONS):
            chunk = policy.predict(observation)
            assert chunk.tokens.tolist() == emitted.tokens[row].tolist()
            sums = emitted.expected[row].reshape(len(chunk.values), -1).sum(axis=-1)
            np.testing.assert_allclose(chunk.log_probs, sums, atol=5e-3)
            if policy.capabilities.committed_rows:
                entropies = emitted.entropies[row].reshape(len(chunk.values), -1).sum(axis=-1)
                np.testing.assert_allclose(chunk.entropies, entropies, atol=5e-3)


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("family", ["small", "openvla"])
def test_the_fast_decoder_scores_classes_merged_or_beside_the_weights(request, family, merge):
    policy = request.getfixturevalue(family)
    model, ready = policy.model, batch(policy, OBSERVATIONS[:1])
    decoder = StaticDecoder(model.decoder.model, merge)
    tokens, log_probs = policy.generate(ready)
    with torch.inference_mode():
        prefix = model.prefix_of_one(policy.features(ready), ready.prompt_ids)
        arguments = prefix, model.embedding_rows(), model.head_rows(), tokens.shape[1]
        plain = decoder.generate(*arguments)
        decoder.classes = policy.classes
        decoded = decoder.generate(*arguments)
    assert decoded.tokens.tolist() == plain.tokens.tolist() == tokens.tolist()
    np.testing.assert_allclose(decoded.log_probs, log_probs, atol=1e-3)
    assert (decoded.log_probs - plain.log_probs).max() > 0.1
    assert (plain.entropies - decoded.entropies).max() > 0.01
