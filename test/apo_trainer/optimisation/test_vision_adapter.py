"""Adapters that reach the vision part, from a training step to a policy that serves."""

import copy

import numpy as np
import pytest
from small_policy import forward_passes, random_adapter

from apo_core.errors import ConfigError
from apo_core.types import Observation
from apo_trainer.data.batches import Batcher
from apo_trainer.data.features import FeatureSettings
from apo_trainer.data.sampler import Draw
from apo_vla.lora.adapter import LoraSettings, adapter_config, check_adapter_config, lora_parameters
from apo_vla.policy import VlaPolicy
from apo_vla.serving.policy import ServingPolicy

TARGETS = (
    r"(image_encoders\.\d+\.(stages\.[0369]|project)|state_projector\.[02]"
    r"|language_model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj)"
)


def seen(seed: int = 0) -> Observation:
    image = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Observation(1, {"front": image}, {"ee_pose": np.ones(7, np.float32)}, "lift the cube")


@pytest.fixture
def policy_of(tiny_model):
    """(settings of an adapter) -> the tiny policy with one."""

    def make(lora: LoraSettings) -> VlaPolicy:
        model, tokenizer, statistics = tiny_model
        return VlaPolicy(copy.deepcopy(model), tokenizer, statistics, lora=lora)

    return make


def test_a_training_step_reaches_the_vision_whose_features_are_not_kept(trainer_of):
    trainer = trainer_of(lora_targets=TARGETS, lora_rank=2, steps=1)
    batcher = Batcher(trainer.policy, trainer.data.train, FeatureSettings(seed=0))
    inputs = batcher.features.inputs([Draw(0, 0)])[0]
    assert inputs.features is None and inputs.images.shape == (1, 3, 16, 16) and inputs.state.shape == (7,)
    (metrics,) = trainer.steps()
    assert np.isfinite(metrics.loss) and metrics.grad_norm > 0
    assert "the adapter reaches layers before the language model: no features are kept" in trainer.notes
    changed = {name for name, value in trainer.adapter().items() if "lora_B" in name and value.any()}
    for part in ("image_encoders.0.stages.0", "image_encoders.0.project", "state_projector.2", "language_model"):
        assert any(f".{part}" in name for name in changed), part


def test_the_trained_adapter_serves_as_it_was_trained(trainer_of, policy_of):
    trainer = trainer_of(lora_targets=TARGETS, lora_rank=2, steps=1, learning_rate=0.1)
    list(trainer.steps())
    check_adapter_config(trainer.settings, adapter_config(trainer.settings))
    serving = ServingPolicy(policy_of(trainer.settings))
    base = serving.predict(seen())
    serving.swap(serving.stage(trainer.adapter()), 1)
    chunk, expected = serving.predict(seen()), trainer.policy.predict(seen())
    np.testing.assert_array_equal(chunk.tokens, expected.tokens)
    np.testing.assert_allclose(chunk.log_probs, expected.log_probs, atol=1e-4)
    assert not np.allclose(chunk.log_probs, base.log_probs, atol=1e-4)


@pytest.mark.parametrize(("targets", "again"), [(TARGETS, True), ("", False)])
def test_frames_are_encoded_again_after_swap_of_a_vision_adapter(policy_of, targets, again):
    lora = LoraSettings(rank=2, targets=targets)
    policy = policy_of(lora)
    encoded, expected = forward_passes(policy.model.image_encoders[0]), policy_of(lora)
    serving = ServingPolicy(policy)
    adapter = random_adapter(policy.model)
    expected.swap(expected.stage(adapter), 1)
    serving.predict(seen())
    serving.predict(seen())
    assert len(encoded) == 1
    serving.swap(serving.stage(adapter), 1)
    found = serving.predict(seen())
    assert len(encoded) == (2 if again else 1)
    np.testing.assert_allclose(found.log_probs, expected.predict(seen()).log_probs, rtol=1e-4)
    serving.use_base()
    serving.predict(seen())
    assert len(encoded) == (3 if again else 1)


def test_the_pattern_names_every_layer_of_the_small_vla(policy_of):
    model = policy_of(LoraSettings(rank=2, targets=TARGETS)).model
    names = {name.split(".lora_")[0] for name in lora_parameters(model)}
    vision = {f"image_encoders.0.stages.{i}" for i in (0, 3, 6, 9)} | {"image_encoders.0.project"}
    assert vision | {"state_projector.0", "state_projector.2"} == {n for n in names if "language_model" not in n}
    assert len(names) == 14


@pytest.mark.parametrize(
    ("targets", "message"),
    [("no_such_layer", "lora_targets = 'no_such_layer' matches none of"), ("(", r"lora_targets = '\(' is no regular")],
)
def test_a_pattern_without_a_layer_or_a_meaning_is_rejected(trainer_of, policy_of, targets, message):
    with pytest.raises(ConfigError, match=message):
        trainer_of(lora_targets=targets)
    with pytest.raises(ConfigError, match=message):
        policy_of(LoraSettings(rank=2, targets=targets))
