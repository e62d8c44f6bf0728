import dataclasses
import json
import math

import numpy as np
import published_checkpoints as published
import pytest
import torch
from policy_calls import batch
from small_policy import teacher_forced
from transformers import LlamaConfig
from transformers.generation.logits_process import SuppressTokensLogitsProcessor

from apo_core.errors import ObservationError
from apo_core.types import Observation
from apo_vla.families.openvla.checkpoint import read_openvla_folder
from apo_vla.families.openvla.model import OpenVla
from apo_vla.families.openvla.oft import OpenVlaOft
from apo_vla.loading import read_deployment
from apo_vla.lora.adapter import LoraSettings, attach_lora, lora_state
from apo_vla.policy import VlaPolicy

INSTRUCTION = "Lift the red cube"
# of the seeded weights, on the reference machine: a change here is a change of the model
GOLDEN_TOKENS = [102, 92, 195, 177, 129, 174, 192]
GOLDEN_LOG_PROBS = [-2.7516, -2.5344, -1.9472, -1.9294, -2.3255, -2.866, -2.8637]


@pytest.fixture(scope="module")
def policy(openvla_folder) -> VlaPolicy:
    return VlaPolicy.load(openvla_folder, lora=None)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (84, 84, 3), dtype=np.uint8)


def seen(seed: int = 0, instruction: str = INSTRUCTION) -> Observation:
    return Observation(7, {"agentview": picture(seed)}, {}, instruction)


def test_golden_tokens(policy):
    tokens, log_probs = policy.generate(batch(policy, seen()))
    assert tokens[0].tolist() == GOLDEN_TOKENS
    np.testing.assert_allclose(log_probs[0], GOLDEN_LOG_PROBS, atol=2e-3)


def test_tokens_are_those_of_transformers_generate(policy):
    prefix, mask = policy.model.prefix(policy.features(ready := batch(policy, seen())), ready.prompt_ids)
    others = [i for i in range(published.VOCABULARY) if not 31744 <= i < 32000]
    found = policy.model.language_model.generate(
        inputs_embeds=prefix,
        attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long),
        max_new_tokens=7,
        min_new_tokens=7,
        do_sample=False,
        use_cache=True,
        logits_processor=[SuppressTokensLogitsProcessor(others)],
    )
    assert mask is None
    assert (31999 - found[0]).tolist() == policy.generate(ready)[0][0].tolist()


def test_the_sequence_is_bos_image_prompt_and_action(policy):
    ready = batch(policy, seen())
    features = policy.features(ready)
    ids = ready.prompt_ids[0][ready.prompt_ids[0] != 32000]
    assert ids[0] == 1 and ids[-1] == 29871 and features.shape == (1, 4, 64)
    bins = torch.tensor([[3, 255, 0, 128, 9, 77, 254]])
    embed = policy.model.language_model.model.embed_tokens
    sequence = torch.cat([embed(ids[:1])[None], features, embed(ids[1:])[None], embed(31999 - bins)], dim=1)
    with torch.no_grad():
        logits = policy.model.language_model(inputs_embeds=sequence).logits[:, -8:-1, 31744:32000].flip(-1)
        found = policy.model.action_logits(features, ready.prompt_ids, bins)
    torch.testing.assert_close(found, logits, rtol=0, atol=1e-4)


def test_another_image_or_prompt_changes_its_output(policy):
    first, second, third = (
        teacher_forced(policy, batch(policy, o), np.arange(7)[None])
        for o in (seen(), seen(1), seen(0, "stack the cubes"))
    )
    assert (first - second).abs().max() > 0.01
    assert (first - third).abs().max() > 0.01


def test_logprobs_are_those_of_generate_and_padding_changes_nothing(policy):
    observations = seen(), seen(1, "put the long spoon on the towel")
    tokens, log_probs = policy.generate(batch(policy, *observations))
    alone = [policy.generate(batch(policy, o)) for o in observations]
    assert [t[0].tolist() for t, _ in alone] == tokens.tolist()
    np.testing.assert_allclose(log_probs, np.concatenate([p for _, p in alone]), atol=1e-3)
    with torch.no_grad():
        np.testing.assert_allclose(teacher_forced(policy, batch(policy, *observations), tokens), log_probs, atol=1e-3)


def test_a_chunk_is_in_contract_units(policy):
    chunk = policy.predict(seen())
    assert chunk.values.shape == (1, 7) and chunk.period_ns == 200_000_000 and chunk.log_probs.shape == (1,)
    bins = chunk.tokens
    centre = -1 + (2 * min(int(bins[0]), 254) + 1) / 255
    assert math.isclose(chunk.values[0, 0], 5 * (0.5 * (centre + 1) * 0.05 - 0.02), rel_tol=1e-5)
    gripper = -1 + (2 * min(int(bins[6]), 254) + 1) / 255
    assert math.isclose(chunk.values[0, 6], 1 - 2 * gripper, rel_tol=1e-4)


def test_instructions_are_lower_case_and_not_empty(policy):
    same = policy.processor.prompt("LIFT the red cube", np.zeros(0))
    np.testing.assert_array_equal(same, policy.processor.prompt("lift the red cube", np.zeros(0)))
    for text in ("  ", "word " * 40):
        with pytest.raises(ObservationError, match=r"must not be empty and make at most 128"):
            policy.processor.prompt(text, np.zeros(0))


def test_a_missing_camera_is_named(policy):
    with pytest.raises(ObservationError, match=r"\['agentview'\] are missing"):
        policy.predict(Observation(7, {"wrist": picture()}, {}, INSTRUCTION))


def test_lora_is_in_the_language_model_and_learns(openvla_folder):
    policy = VlaPolicy.load(openvla_folder, lora=LoraSettings(rank=2))
    names = list(lora_state(policy.model))
    assert len(names) == 2 * 7 * 2  # A and B of seven projections in two layers
    assert all(name.startswith("base_model.model.language_model.model.layers.") for name in names)
    ready = batch(policy, seen())
    tokens, _ = policy.generate(ready)
    teacher_forced(policy, ready, tokens).sum().backward()
    learning = {name for name, p in policy.model.named_parameters() if p.grad is not None}
    assert learning and all("lora_" in name for name in learning)


def test_the_base_may_be_in_bfloat16_while_the_adapter_is_not(openvla_folder):
    policy = VlaPolicy.load(openvla_folder, lora=LoraSettings(rank=2), dtype=torch.bfloat16)
    dtypes = {p.dtype for n, p in policy.model.named_parameters() if "lora_" in n}
    assert policy.model.dtype == torch.bfloat16 and dtypes == {torch.float32}
    assert np.isfinite(policy.predict(seen()).values).all()
    ready = batch(policy, seen())
    teacher_forced(policy, ready, policy.generate(ready)[0]).sum().backward()


def test_an_adapter_is_swapped_in_and_out(openvla_folder):
    policy = VlaPolicy.load(openvla_folder, lora=LoraSettings(rank=2))
    before = policy.predict(seen())
    rng = np.random.default_rng(0)
    staged = policy.stage(
        {n: rng.normal(0, 0.3, v.shape).astype(np.float32) for n, v in lora_state(policy.model).items()}
    )
    policy.swap(staged, 1)
    after = policy.predict(seen())
    assert after.adapter_version == 1 and not np.array_equal(after.log_probs, before.log_probs)
    policy.use_base()
    np.testing.assert_array_equal(policy.predict(seen()).log_probs, before.log_probs)


def test_sizes_of_the_published_model(openvla_folder):
    """Without the parts behind the features, which are not kept; LoRA of rank 32; and OpenVLA-OFT."""
    found = read_openvla_folder(openvla_folder, read_deployment(openvla_folder))
    towers = (
        type(found.towers[0])(1024, 24, 16, 4096, 14, 256, 4, True),
        type(found.towers[0])(1152, 27, 16, 4304, 14, 256, 0, False),
    )
    with torch.device("meta"):
        model = OpenVla(found.model_config, towers, LlamaConfig(vocab_size=32064, pad_token_id=32000))
        kept = sum(p.numel() for p in model.parameters())
        attach_lora(model, LoraSettings(rank=32))
        text = LlamaConfig(vocab_size=32064, pad_token_id=32000)
        oft = OpenVlaOft(dataclasses.replace(found.model_config, chunk=8, state_size=8), towers, text, True)
    assert kept == 7_498_156_704
    assert sum(p.numel() for p in oft.parameters()) == 7_666_092_711
    assert sum(p.numel() for n, p in model.named_parameters() if "lora_" in n) == 79_953_920


def test_config_of_the_published_model_is_read(openvla_folder):
    found = read_openvla_folder(openvla_folder, read_deployment(openvla_folder))
    assert json.loads((openvla_folder / "config.json").read_text())["model_type"] == "openvla"
    assert (found.model_config.action_end, found.model_config.bins, found.model_config.pad_id) == (32000, 256, 32000)
    assert found.text.rms_norm_eps == 1e-6


@pytest.mark.parametrize("instructions", [("lift it", "lift it"), ("lift it", "open the long drawer")])
def test_other_actions_are_scored_in_the_same_pass(policy, instructions):
    ready = batch(policy, *(seen(i, text) for i, text in enumerate(instructions)))
    features, own = policy.features(ready), torch.arange(14).view(2, 7)
    other = torch.arange(100, 121).view(3, 7)
    with torch.no_grad():
        logits, others = policy.model.completion_logits(features, ready.prompt_ids, own, [1, 0, 1], other)
        torch.testing.assert_close(logits, policy.model.action_logits(features, ready.prompt_ids, own))
        alone = policy.model.action_logits(features[[1, 0, 1]], ready.prompt_ids[[1, 0, 1]], other)
    torch.testing.assert_close(others, alone, rtol=0, atol=1e-4)
