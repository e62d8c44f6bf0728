import dataclasses

import numpy as np
import pytest
import torch

from apo_core.errors import CheckpointError, ConfigError
from apo_vla.families.small_vla.model import SmallVla, SmallVlaConfig
from apo_vla.lora.adapter import LoraSettings, attach_lora, lora_state, stage, swap

GOLDEN_TOKENS = [67, 214, 186, 67, 16, 78, 82, 102, 8, 111, 186, 100, 46, 31]
GOLDEN_LOG_PROBS = [
    -2.6672,
    -2.2089,
    -1.8968,
    -2.6795,
    -2.6573,
    -1.8327,
    -2.8976,
    -2.8549,
    -2.0383,
    -2.904,
    -2.1229,
    -2.6826,
    -2.4471,
    -3.0248,
]


def batch(config: SmallVlaConfig, size: int, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(size, len(config.cameras), 3, config.image_size, config.image_size, generator=generator)
    state = torch.randn(size, config.state_size, generator=generator)
    prompts = torch.randint(0, 20, (size, config.prompt_length), generator=generator)
    return images, state, prompts


def teacher_forced(model, features, prompts, tokens):
    with torch.no_grad():
        return model.action_logits(features, prompts, tokens)


def features_of(model, images, state):
    with torch.no_grad():
        return model.features(images, state)


def test_shapes(tiny_model):
    config = tiny_model.config
    images, state, prompts = batch(config, 3)
    features = features_of(tiny_model, images, state)
    assert features.shape == (3, config.feature_tokens, 32) and config.feature_tokens == 9
    assert config.action_tokens == 14
    logits = teacher_forced(tiny_model, features, prompts, torch.zeros(3, 14, dtype=torch.int64))
    assert logits.shape == (3, 14, 256) and logits.dtype == torch.float32


def test_tokens_of_the_whole_image_take_the_place_of_those_of_its_squares(tiny_model):
    config = dataclasses.replace(tiny_model.config, image_tokens=3)
    model = SmallVla(config).eval()
    images, state, prompts = batch(config, 2)
    features = features_of(model, images, state)
    assert features.shape == (2, 7, 32) and config.feature_tokens == 7
    tokens, _ = model.generate(features, prompts)
    assert torch.equal(teacher_forced(model, features, prompts, tokens).argmax(dim=-1), tokens)
    # a change in one corner reaches every token of its camera and none of the other's
    images[:, 0, :, :4, :4] += 1.0
    changed = (features_of(model, images, state) != features).any(-1)
    assert changed.tolist() == [[True] * 3 + [False] * 4] * 2


def test_with_a_tolerance_the_likeliest_neighbourhood_is_chosen(tiny_model):
    config = dataclasses.replace(tiny_model.config, decode_tolerance=3.0)
    model = SmallVla(config).eval()
    model.load_state_dict(tiny_model.state_dict())
    images, state, prompts = batch(config, 3)
    features = features_of(model, images, state)
    tokens, _ = model.generate(features, prompts)
    bins = torch.arange(256)
    near = torch.exp(-((bins[:, None] - bins) ** 2) / 18.0)
    weighed = teacher_forced(model, features, prompts, tokens).softmax(-1) @ near
    assert torch.equal(weighed.argmax(-1), tokens)
    assert not torch.equal(tiny_model.generate(features, prompts)[0], tokens)


@pytest.mark.parametrize("tolerance", [-1.0, 257.0, float("nan")])
def test_a_tolerance_out_of_range_is_rejected(tiny_model, tolerance):
    with pytest.raises(ConfigError, match=r"decode_tolerance = .* must be 0\.\.256"):
        dataclasses.replace(tiny_model.config, decode_tolerance=tolerance)


def test_a_configuration_without_the_newer_names_has_their_zeros(tiny_model):
    data = tiny_model.config.to_dict()
    del data["image_tokens"], data["decode_tolerance"]
    assert SmallVlaConfig.from_dict(data, "config.json") == tiny_model.config
    with pytest.raises(ConfigError, match="image_tokens = -1 must be a whole number of at least 0"):
        dataclasses.replace(tiny_model.config, image_tokens=-1)


def test_golden_tokens(tiny_model):
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for _, value in sorted(tiny_model.named_parameters()):
            drawn = torch.randn(value.shape, generator=generator)
            value.copy_(1.4 * drawn / value[0].numel() ** 0.5 if value.ndim > 1 else 1 + 0.1 * drawn)
    images, state, prompts = batch(tiny_model.config, 1)
    tokens, log_probs = tiny_model.generate(features_of(tiny_model, images, state), prompts)
    assert tokens[0].tolist() == GOLDEN_TOKENS
    np.testing.assert_allclose(log_probs[0], GOLDEN_LOG_PROBS, atol=2e-3)


def test_generation_is_the_argmax_of_the_teacher_forced_logits(tiny_model):
    images, state, prompts = batch(tiny_model.config, 4)
    features = features_of(tiny_model, images, state)
    tokens, log_probs = tiny_model.generate(features, prompts)
    logits = teacher_forced(tiny_model, features, prompts, tokens)
    assert torch.equal(logits.argmax(dim=-1), tokens)
    expected = logits.log_softmax(dim=-1).gather(-1, tokens[..., None])[..., 0]
    torch.testing.assert_close(log_probs, expected, atol=1e-4, rtol=1e-4)
    assert len(torch.unique(tokens)) > 4


def test_generation_equals_the_cached_decoding_of_transformers(tiny_model):
    model = tiny_model
    images, state, prompts = batch(model.config, 2)
    features = features_of(model, images, state)
    tokens, _ = model.generate(features, prompts)
    with torch.no_grad():
        out = model.language_model(inputs_embeds=model.prefix(features, prompts), use_cache=True)
        expected = []
        for _ in range(model.config.action_tokens):
            token = model.action_head(out.last_hidden_state[:, -1]).argmax(dim=-1)
            expected.append(token)
            out = model.language_model(
                input_ids=token[:, None] + model.config.prompt_vocabulary,
                past_key_values=out.past_key_values,
                use_cache=True,
            )
    assert torch.equal(tokens, torch.stack(expected, dim=1))


def test_generation_follows_weights_and_adapters_as_they_change(tiny_model):
    images, state, prompts = batch(tiny_model.config, 2)
    features = features_of(tiny_model, images, state)
    before, _ = tiny_model.generate(features, prompts)
    attach_lora(tiny_model, LoraSettings(rank=4))
    assert torch.equal(tiny_model.generate(features, prompts)[0], before)
    rng = np.random.default_rng(0)
    tensors = {k: rng.normal(0, 0.3, v.shape).astype(np.float32) for k, v in lora_state(tiny_model).items()}
    swap(tiny_model, stage(tiny_model, tensors))
    tokens, _ = tiny_model.generate(features, prompts)
    assert not torch.equal(tokens, before)
    assert torch.equal(teacher_forced(tiny_model, features, prompts, tokens).argmax(-1), tokens)
    with torch.no_grad():
        tiny_model.language_model.layers[0].mlp.up_proj.base_layer.weight.mul_(-2.0)
    again, _ = tiny_model.generate(features, prompts)
    assert not torch.equal(again, tokens)
    assert torch.equal(teacher_forced(tiny_model, features, prompts, again).argmax(-1), again)


def test_a_sample_does_not_depend_on_its_batch(tiny_model):
    images, state, prompts = batch(tiny_model.config, 5)
    features = features_of(tiny_model, images, state)
    tokens, log_probs = tiny_model.generate(features, prompts)
    for index in range(5):
        one = slice(index, index + 1)
        alone = features_of(tiny_model, images[one], state[one])
        torch.testing.assert_close(alone, features[one], atol=1e-5, rtol=1e-5)
        token, log_prob = tiny_model.generate(alone, prompts[one])
        assert torch.equal(token, tokens[one])
        torch.testing.assert_close(log_prob, log_probs[one], atol=1e-4, rtol=1e-4)


def test_logits_depend_on_each_image_on_state_and_on_prompt(tiny_model):
    # a policy that ignores an input still produces actions; only a comparison shows it
    images, state, prompts = batch(tiny_model.config, 1)
    tokens = torch.zeros(1, 14, dtype=torch.int64)

    def logits(images, state, prompts):
        return teacher_forced(tiny_model, features_of(tiny_model, images, state), prompts, tokens)

    reference = logits(images, state, prompts)
    for camera in range(2):
        changed = images.clone()
        changed[:, camera] += 1.0
        assert (logits(changed, state, prompts) - reference).abs().max() > 1e-2
    assert (logits(images, state + 1.0, prompts) - reference).abs().max() > 1e-2
    assert (logits(images, state, (prompts + 1) % 20) - reference).abs().max() > 1e-2


def test_logits_of_a_token_do_not_see_it_or_later_ones(tiny_model):
    images, state, prompts = batch(tiny_model.config, 1)
    features = features_of(tiny_model, images, state)
    tokens = torch.arange(14)[None] * 17
    reference = teacher_forced(tiny_model, features, prompts, tokens)
    changed = tokens.clone()
    changed[0, 6] = 200
    logits = teacher_forced(tiny_model, features, prompts, changed)
    torch.testing.assert_close(logits[:, :7], reference[:, :7])
    assert (logits[:, 7] - reference[:, 7]).abs().max() > 1e-3
    prefix = teacher_forced(tiny_model, features, prompts, tokens[:, :5])
    torch.testing.assert_close(prefix, reference[:, :5], atol=1e-5, rtol=1e-5)


def test_generated_tokens_can_be_trained_on(tiny_model):
    images, state, prompts = batch(tiny_model.config, 1)
    tokens, _ = tiny_model.generate(features_of(tiny_model, images, state), prompts)
    tiny_model.action_logits(tiny_model.features(images, state), prompts, tokens).sum().backward()
    assert tiny_model.action_head.weight.grad is not None


def test_faults_in_the_shape_are_listed_together():
    with pytest.raises(ConfigError) as error:
        SmallVlaConfig(image_size=50, hidden=36, heads=5)
    assert len(error.value.faults) == 3
    with pytest.raises(ConfigError, match="chunk = 0"):
        SmallVlaConfig(chunk=0)


def test_config_goes_through_plain_data():
    config = SmallVlaConfig(chunk=3)
    data = config.to_dict()
    assert data["family"] == "apo_small_vla" and data["cameras"] == ["agentview", "wrist"]
    assert SmallVlaConfig.from_dict(data, "here") == config
    with pytest.raises(CheckpointError, match=r"missing \['chunk'\], unknown \['chunks'\]"):
        SmallVlaConfig.from_dict({**{k: v for k, v in data.items() if k != "chunk"}, "chunks": 1}, "here")
    with pytest.raises(CheckpointError, match="family = 'openvla'"):
        SmallVlaConfig.from_dict({**data, "family": "openvla"}, "here")
    assert dataclasses.is_dataclass(config)
