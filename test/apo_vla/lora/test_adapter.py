import json

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import save_file
from torch import nn

from apo_core.errors import AdapterError, ConfigError
from apo_vla.families.small_vla.model import SmallVla
from apo_vla.lora.adapter import (
    TARGET_MODULES,
    LoraSettings,
    adapter_config,
    attach_lora,
    check_adapter_config,
    lora_parameters,
    lora_state,
    reaches_features,
    second_slot,
    settings_of,
    stage,
    swap,
    zero,
)

SETTINGS = LoraSettings(rank=4, alpha=8.0)
FIRST = "base_model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture
def adapted(tiny_model) -> SmallVla:
    attach_lora(tiny_model, SETTINGS)
    return tiny_model


def random_adapter(model: SmallVla, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.2, v.shape).astype(np.float32) for name, v in lora_state(model).items()}


def logits(model: SmallVla) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    config = model.config
    images = torch.randn(2, 2, 3, config.image_size, config.image_size, generator=generator)
    state = torch.randn(2, config.state_size, generator=generator)
    prompts = torch.randint(0, 20, (2, config.prompt_length), generator=generator)
    tokens = torch.randint(0, 256, (2, config.action_tokens), generator=generator)
    with torch.no_grad():
        return model.action_logits(model.features(images, state), prompts, tokens)


def test_a_fresh_adapter_is_the_base_policy(tiny_model):
    base = logits(tiny_model)
    attach_lora(tiny_model, SETTINGS)
    # some processors' kernels round the same product differently when an adapter of zeros is added to it
    torch.testing.assert_close(logits(tiny_model), base, rtol=0, atol=1e-5)
    assert all(not p.any() for name, p in tiny_model.named_parameters() if "lora_B" in name)
    names = [name for name, p in tiny_model.named_parameters() if p.requires_grad]
    assert names == list(lora_parameters(tiny_model)) and len(names) == 2 * len(TARGET_MODULES) * 2
    assert all("language_model.layers" in name for name in names)


def test_attaching_is_reproducible_and_leaves_the_global_generator_alone(tiny_model):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    attach_lora(tiny_model, SETTINGS, seed=3)
    assert torch.equal(torch.rand(3), expected)
    with pytest.raises(ValueError, match="attached already"):
        attach_lora(tiny_model, SETTINGS)


def test_swapping_in_and_back_restores_every_bit(adapted):
    pointers = [p.data_ptr() for p in adapted.parameters()]
    first, second = stage(adapted, random_adapter(adapted, 1)), stage(adapted, random_adapter(adapted, 2))
    base = logits(adapted)
    swap(adapted, first)
    served = logits(adapted)
    assert (served - base).abs().max() > 1e-2
    swap(adapted, second)
    assert (logits(adapted) - served).abs().max() > 1e-2
    swap(adapted, first)
    assert torch.equal(logits(adapted), served)
    assert pointers == [p.data_ptr() for p in adapted.parameters()]


def test_staging_does_not_touch_the_model(adapted):
    base = logits(adapted)
    stage(adapted, random_adapter(adapted))
    assert torch.equal(logits(adapted), base)


def test_zero_is_the_base_policy(adapted):
    base = logits(adapted)
    swap(adapted, stage(adapted, random_adapter(adapted)))
    zero(adapted)
    assert torch.equal(logits(adapted), base)
    assert all((value == 0).all() for value in lora_state(adapted).values())


def test_a_second_slot_shares_the_base_and_has_an_adapter_of_its_own(adapted):
    base = logits(adapted)
    other = second_slot(adapted)
    own = set(lora_parameters(adapted))
    shared = {name: p.data_ptr() for name, p in adapted.named_parameters() if name not in own}
    assert {name: p.data_ptr() for name, p in other.named_parameters() if name not in own} == shared
    swap(other, stage(other, random_adapter(other)))
    assert torch.equal(logits(adapted), base)
    tried = logits(other)
    assert (tried - base).abs().max() > 1e-2
    swap(adapted, stage(adapted, random_adapter(adapted)))
    assert torch.equal(logits(adapted), tried)


def test_a_second_slot_decodes_with_its_own_adapter(adapted):
    features = torch.randn(1, 9, 32, generator=torch.Generator().manual_seed(0))
    prompts = torch.zeros(1, adapted.config.prompt_length, dtype=torch.int64)
    before = adapted.generate(features, prompts)[1]
    other = second_slot(adapted)
    swap(other, stage(other, random_adapter(other)))
    tried = other.generate(features, prompts)[1]
    assert not torch.equal(tried, before)
    assert torch.equal(adapted.generate(features, prompts)[1], before)


def _renamed(tensors):
    tensors["base_model.model.language_model.layers.0.self_attn.z_proj.lora_A.weight"] = tensors.pop(FIRST)


def _extra(tensors):
    tensors["base_model.model.action_head.weight"] = np.zeros((256, 32), np.float32)


def _reshaped(tensors):
    tensors[FIRST] = tensors[FIRST].T.copy()


def _half(tensors):
    tensors[FIRST] = tensors[FIRST].astype(np.float16)


def _not_finite(tensors):
    tensors[FIRST][0, 0] = np.nan


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_renamed, "q_proj.lora_A.weight' is missing; .*z_proj.lora_A.weight' is not a tensor of this adapter"),
        (lambda tensors: tensors.pop(FIRST), "is missing"),
        (_extra, "action_head.weight' is not a tensor of this adapter"),
        (_reshaped, r"has shape \(32, 4\), the policy has \(4, 32\)"),
        (_half, "is float16, must be float32"),
        (_not_finite, "has values that are not finite"),
    ],
)
def test_an_adapter_that_does_not_fit_is_rejected(adapted, damage, message):
    base, tensors = logits(adapted), random_adapter(adapted)
    damage(tensors)
    with pytest.raises(AdapterError, match=message):
        stage(adapted, tensors)
    assert torch.equal(logits(adapted), base)


def test_a_model_without_an_adapter_takes_none(tiny_model):
    with pytest.raises(AdapterError, match="no adapter attached"):
        stage(tiny_model, {})


def test_peft_loads_the_files(adapted, tmp_path):
    tensors = random_adapter(adapted)
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter_config(SETTINGS)))
    plain = SmallVla(adapted.config).eval()
    base = {k.replace(".base_layer", ""): v for k, v in adapted.state_dict().items() if "lora_" not in k}
    plain.load_state_dict(base)
    loaded = PeftModel.from_pretrained(plain, str(tmp_path))
    swap(adapted, stage(adapted, tensors))
    assert torch.equal(logits(loaded.base_model.model), logits(adapted))


def test_a_config_that_changes_the_meaning_is_rejected():
    config = adapter_config(SETTINGS)
    check_adapter_config(SETTINGS, json.loads(json.dumps(config)))
    with pytest.raises(AdapterError, match=r"r = 4, the policy has 8.*lora_alpha = 8.0, the policy has 16.0"):
        check_adapter_config(LoraSettings(), config)
    with pytest.raises(AdapterError, match="use_dora = True"):
        check_adapter_config(SETTINGS, {**config, "use_dora": True})
    with pytest.raises(AdapterError, match="init_lora_weights = 'pissa'"):
        check_adapter_config(SETTINGS, {**config, "init_lora_weights": "pissa"})


def test_a_pattern_chooses_linear_and_convolution_layers(tiny_model):
    settings = LoraSettings(rank=2, targets=r"image_encoders\.1\.(stages\.0|project)")
    attach_lora(tiny_model, settings)
    assert {name.split(".lora_")[0] for name in lora_parameters(tiny_model)} == {
        "image_encoders.1.stages.0",
        "image_encoders.1.project",
    }
    assert reaches_features(tiny_model)
    before = logits(tiny_model)
    swap(tiny_model, stage(tiny_model, random_adapter(tiny_model)))
    assert not torch.equal(logits(tiny_model), before)


def test_without_a_pattern_the_adapter_does_not_reach_the_features(adapted):
    assert not reaches_features(adapted)


def test_the_pattern_is_part_of_the_adapters_configuration():
    settings = LoraSettings(rank=2, targets=r"state_projector\.0")
    config = json.loads(json.dumps(adapter_config(settings)))
    check_adapter_config(settings, config)
    assert settings_of(config) == settings
    with pytest.raises(AdapterError, match="target_modules = 'state_projector"):
        check_adapter_config(LoraSettings(rank=2), config)
    with pytest.raises(AdapterError, match="target_modules = "):
        check_adapter_config(settings, adapter_config(LoraSettings(rank=2)))


@pytest.mark.parametrize(("pattern", "message"), [("q_proj", "matches none of"), ("[", "is no regular expression")])
def test_a_pattern_that_names_no_layer_is_rejected(tiny_model, pattern, message):
    with pytest.raises(ConfigError, match=message):
        attach_lora(tiny_model, LoraSettings(targets=pattern))
    assert not lora_parameters(tiny_model)


class TwoTowers(nn.Module):
    """Layers of the same names in a vision tower and in the language model."""

    def __init__(self):
        super().__init__()
        for name in ("eyes", "language_model"):
            self.add_module(name, nn.ModuleDict({"q_proj": nn.Linear(4, 4), "other": nn.Linear(4, 4)}))


def test_by_default_the_language_model_alone_has_an_adapter():
    model = TwoTowers()
    attach_lora(model, LoraSettings(rank=2))
    assert {name.split(".lora_")[0] for name in lora_parameters(model)} == {"language_model.q_proj"}
