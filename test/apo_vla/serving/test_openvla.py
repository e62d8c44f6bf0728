"""OpenVLA on the fast decoder predicts what its own `generate` does, which serves variants the decoder cannot."""

from functools import partial

import numpy as np
import published_checkpoints as published
import pytest
import torch
from replayed import Replayed
from small_policy import forward_passes, random_adapter, teacher_forced

from apo_core.errors import ConfigError
from apo_core.types import Observation
from apo_vla.cli.inspection import inspect
from apo_vla.decoding.cuda_graphs import GraphCache
from apo_vla.decoding.static import StaticDecoder
from apo_vla.lora.adapter import LoraSettings
from apo_vla.policy import VlaPolicy
from apo_vla.serving.policy import ServingPolicy, load_for_serving
from apo_vla.serving.settings import ServingSettings

LORA = LoraSettings(rank=2)
INSTRUCTIONS = ("Lift the red cube", "put the long spoon on the towel")
VARIANTS = {
    "key-value heads": {"num_key_value_heads": 2},
    "biases": {"attention_bias": True},
    "rope_type": {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    "silu": {"hidden_act": "gelu"},
}


@pytest.fixture
def policy(openvla_folder) -> VlaPolicy:
    return VlaPolicy.load(openvla_folder, lora=LORA)


def seen(seed: int = 0, instruction: str = INSTRUCTIONS[0]) -> Observation:
    image = np.random.default_rng(seed).integers(0, 256, (84, 84, 3), dtype=np.uint8)
    return Observation(7, {"agentview": image}, {}, instruction)


def same(chunk, expected) -> None:
    assert chunk.tokens.tolist() == expected.tokens.tolist()
    np.testing.assert_array_equal(chunk.values, expected.values)
    np.testing.assert_allclose(chunk.log_probs, expected.log_probs, rtol=0, atol=5e-4)  # of seven tokens
    assert chunk.adapter_version == expected.adapter_version


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_tokens_and_scores_are_those_of_predict(policy, instruction, version):
    if version:
        policy.swap(policy.stage(random_adapter(policy.model)), version)
    observations = [seen(seed, instruction) for seed in range(3)]
    expected = [policy.predict(each) for each in observations]
    assert len({tuple(chunk.tokens) for chunk in expected}) == 3
    serving = ServingPolicy(policy)
    for each, chunk in zip(observations, expected, strict=True):
        same(serving.predict(each), chunk)


@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("merge", [False, True])
def test_each_token_has_its_score_and_entropy_merged_or_beside_the_weights(policy, merge, adapted):
    if adapted:
        policy.swap(policy.stage(random_adapter(policy.model)), 1)
    ready = policy.prepare([seen().images], [{}], seen().instruction)
    tokens, log_probs = policy.generate(ready)
    with torch.inference_mode():
        model, features = policy.model, policy.features(ready)
        logits = model.action_logits(features, ready.prompt_ids, torch.from_numpy(tokens)).log_softmax(-1)
        decoder = StaticDecoder(model.language_model.model, merge)
        prefix = model.prefix_of_one(features, ready.prompt_ids)
        decoded = decoder.generate(prefix, model.embedding_rows(), model.head_rows(), 7)
    assert decoded.tokens.tolist() == tokens.tolist()
    np.testing.assert_allclose(decoded.log_probs, log_probs, rtol=0, atol=1e-4)
    torch.testing.assert_close(decoded.entropies, -(logits.exp() * logits).sum(-1), rtol=0, atol=1e-4)


def test_rows_of_the_vocabulary_are_in_the_order_of_bins(policy):
    model, language_model = policy.model, policy.model.language_model
    for bin_, token in ((0, 31999), (1, 31998), (255, 31744)):
        assert torch.equal(model.embedding_rows()[bin_], language_model.model.embed_tokens.weight[token])
        assert torch.equal(model.head_rows()[bin_], language_model.lm_head.weight[token])


def test_a_frame_is_encoded_once_for_both_adapters(policy):
    tensors = random_adapter(policy.model)
    expected = policy.predict(seen())
    policy.swap(policy.stage(tensors), 3)
    adapted = policy.predict(seen())
    policy.use_base()
    encoded, serving = forward_passes(policy.model.vision_backbone), ServingPolicy(policy)
    same(serving.predict(seen()), expected)
    second = serving.second_slot()
    serving.swap(serving.stage(tensors), 3)
    same(serving.predict(seen()), adapted)
    same(second.predict(seen()), expected)
    assert len(encoded) == 2  # one in each slot


def test_it_begins_with_committed_actions(policy):
    serving = ServingPolicy(policy)
    free = serving.predict(seen(), rows=2)
    assert free.values.shape == (2, 7) and free.tokens[:7].tolist() == policy.predict(seen()).tokens.tolist()
    again = serving.predict(seen(), committed=free.values[:1], rows=2)
    same(again, free)
    np.testing.assert_allclose(again.entropies, free.entropies, atol=1e-3)
    other = serving.predict(seen(), committed=-free.values[:1], rows=2)
    assert other.log_probs[0] < free.log_probs[0]
    with pytest.raises(ValueError, match="1 committed rows must be fewer than the 1 of the chunk"):
        serving.predict(seen(), committed=free.values[:1])


def test_recordings_follow_images_prompts_and_adapters(policy):
    cases = [seen(0), seen(1), seen(0, INSTRUCTIONS[1])]
    tensors = random_adapter(policy.model)
    expected = [policy.predict(each) for each in cases]
    policy.swap(policy.stage(tensors), 1)
    expected += [policy.predict(each) for each in cases]
    policy.use_base()
    serving = ServingPolicy(policy, graphs=GraphCache(Replayed))
    for each, chunk in zip(cases, expected, strict=False):
        same(serving.predict(each), chunk)
    serving.swap(serving.stage(tensors), 1)
    for each, chunk in zip(cases, expected[3:], strict=True):
        same(serving.predict(each), chunk)


def test_compiled_layers_predict_the_same(policy, monkeypatch):
    # without the minutes of a code generator
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    expected = [policy.predict(seen(0, text)) for text in INSTRUCTIONS]
    serving = ServingPolicy(policy, ServingSettings(compile=True))
    for text, chunk in zip(INSTRUCTIONS, expected, strict=True):
        same(serving.predict(seen(0, text)), chunk)


@pytest.fixture
def of_variant(tmp_path, monkeypatch):
    """A checkpoint whose language model has these settings."""

    def make(**changes):
        monkeypatch.setattr(published, "LLAMA", {**published.LLAMA, **changes})
        shapes = published.openvla_shapes()
        heads = changes.get("num_key_value_heads", 4)
        shapes |= {name: (16 * heads, 64) for name in shapes if "k_proj" in name or "v_proj" in name}
        if changes.get("attention_bias"):
            attention = [name for name in shapes if ".self_attn." in name]
            shapes |= {name.replace(".weight", ".bias"): shapes[name][:1] for name in attention}
        monkeypatch.setattr(published, "openvla_shapes", lambda: shapes)
        return published.make_openvla(tmp_path / "variant")

    return make


def test_int8_predicts_what_the_rounded_weights_predict(of_variant):
    folder = of_variant(intermediate_size=128)
    rounded = VlaPolicy.load(folder, lora=LORA)
    with torch.no_grad():
        for name, weight in rounded.model.language_model.model.named_parameters():
            if name.endswith("base_layer.weight"):
                step = weight.abs().amax(dim=1, keepdim=True) / 127
                weight.copy_((weight / step).round() * step)
    tensors = random_adapter(rounded.model)
    rounded.swap(rounded.stage(tensors), 1)
    try:
        serving = load_for_serving(folder, "cpu", LORA, ServingSettings("int8"))
    except ConfigError as error:
        pytest.skip(str(error))
    serving.swap(serving.stage(tensors), 1)
    for seed in range(2):
        same(serving.predict(seen(seed)), rounded.predict(seen(seed)))


@pytest.mark.parametrize("reason", list(VARIANTS))
def test_a_variant_without_decoder_is_served_by_its_generate(of_variant, reason):
    folder = of_variant(**VARIANTS[reason])
    policy = VlaPolicy.load(folder, lora=LORA)
    expected = policy.predict(seen())
    ready = policy.prepare([seen().images], [{}], seen().instruction)
    with torch.no_grad():  # the way of training
        log_probs = teacher_forced(policy, ready, expected.tokens[None]).sum().item()
    assert log_probs == pytest.approx(expected.log_probs[0], abs=1e-3)
    serving = load_for_serving(folder, "cpu", LORA, ServingSettings())
    same(serving.predict(seen()), expected)
    assert not serving.capabilities.committed_rows
    with pytest.raises(
        ConfigError, match="this OpenVla, which is not served by the fast decoder: it needs .*" + reason
    ):
        ServingPolicy(policy, ServingSettings("int8", compile=True))
    assert reason in inspect(folder)[0].notes[0]


def test_oft_keeps_its_own_way(oft_folder):
    policy = VlaPolicy.load(oft_folder, lora=LORA)
    with pytest.raises(ConfigError, match=r"with this OpenVlaOft, which is not served by the fast decoder$"):
        ServingPolicy(policy, ServingSettings(compile=True))
    assert not ServingPolicy(policy).capabilities.committed_rows


def test_a_shortened_chunk_keeps_bins_but_no_continuous_numbers(oft_folder, tmp_path):
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (84, 84, 3), dtype=np.uint8) for name in ("agentview", "wrist")}
    pose = np.array([0.1, -0.05, 1.1, 0.0, 0.7071068, 0.0, 0.7071068], np.float32)
    observation = Observation(7, images, {"ee_pose": pose, "gripper_width": np.array([0.05], np.float32)}, "lift")
    discrete = ServingPolicy(VlaPolicy.load(published.make_openvla_oft(tmp_path / "bins", continuous=False), lora=LORA))
    whole, cut = discrete.predict(observation), discrete.predict(observation, rows=3)
    assert whole.tokens.shape == (56,) and cut.tokens.tolist() == whole.tokens[:21].tolist()
    assert ServingPolicy(VlaPolicy.load(oft_folder, lora=LORA)).predict(observation, rows=3).tokens is None
