"""The small flow policy: what its velocity depends on, and what adapters reach."""

import numpy as np
import pytest
import torch

from apo_core.contract.contract import load_contract
from apo_core.errors import CheckpointError
from apo_core.types import Observation
from apo_vla.checkpoints.statistics import compute_statistics
from apo_vla.families.small_vla.checkpoint import save_checkpoint
from apo_vla.families.small_vla.flow import SmallFlow, SmallFlowConfig
from apo_vla.inputs.prompt import build_tokenizer
from apo_vla.likelihood.flow import sample
from apo_vla.lora.adapter import LoraSettings, lora_parameters, reaches_features
from apo_vla.policy import VlaPolicy

CONFIG = SmallFlowConfig(
    state_keys=("ee_pose", "gripper_width"),
    state_size=8,
    chunk=2,
    image_size=32,
    image_channels=(8, 8, 16),
    prompt_length=12,
    prompt_vocabulary=32,
    hidden=32,
    layers=2,
    heads=2,
    mlp=64,
    flow_steps=4,
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = SmallFlow(CONFIG)
    with torch.no_grad():
        for value in made.parameters():  # far from the small initial values, so that differences show
            if value.ndim >= 2:
                value.mul_(3.0)
    return made.eval()


@pytest.fixture
def policy(model):
    rng = np.random.default_rng(0)
    states = {"ee_pose": rng.normal(size=(50, 7)), "gripper_width": rng.normal(size=(50, 1))}
    contract = load_contract("config/contract.yaml")
    statistics = compute_statistics(rng.normal(size=(50, 7)), states, [True] * 6 + [False], contract.sha256)
    tokenizer = build_tokenizer(("lift the red cube",))

    def make(lora=None):
        return VlaPolicy(model, tokenizer, statistics, "base", "statistics", lora)

    return make


@pytest.fixture
def seen():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(3, 2, 3, 32, 32, generator=generator)
    state = torch.randn(3, 8, generator=generator)
    return images, state, torch.randint(0, 20, (3, 12), generator=generator)


def velocity(model, images, state, prompts, noisy, time):
    with torch.no_grad():
        return model.velocity(model.prefix_cache(model.features(images, state), prompts), noisy, time)


@pytest.fixture
def noisy():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(3, 2, 2, 7, generator=generator), torch.rand(3, 2, generator=generator)


def test_the_velocity_sees_pictures_state_prompt_noise_and_time(model, seen, noisy):
    images, state, prompts = seen
    plain = velocity(model, images, state, prompts, *noisy)
    assert plain.shape == (3, 2, 2, 7)
    changed = prompts.clone()
    changed[:, 0] += 1
    for other in (
        (images.flip(-1), state, prompts, *noisy),
        (images, state + 1, prompts, *noisy),
        (images, state, changed, *noisy),
        (images, state, prompts, noisy[0] + 0.1, noisy[1]),
        (images, state, prompts, noisy[0], noisy[1] * 0.5),
    ):
        assert (velocity(model, *other) - plain).abs().max() > 1e-3


def test_draws_do_not_see_each_other_and_rows_do(model, seen, noisy):
    plain = velocity(model, *seen, *noisy)
    actions = noisy[0].clone()
    actions[:, 1, 1] += 1.0
    other = velocity(model, *seen, actions, noisy[1])
    torch.testing.assert_close(other[:, 0], plain[:, 0], atol=1e-5, rtol=0)
    assert (other[:, 1, 0] - plain[:, 1, 0]).abs().max() > 1e-3
    alone = velocity(model, *seen, noisy[0][:, 1:], noisy[1][:, 1:])
    torch.testing.assert_close(alone, plain[:, 1:], atol=1e-5, rtol=0)


def test_the_cache_of_some_rows_is_that_of_these_rows(model, seen, noisy):
    images, state, prompts = seen
    with torch.no_grad():
        cache = model.prefix_cache(model.features(images, state), prompts).rows([2, 0])
        found = model.velocity(cache, noisy[0][[2, 0]], noisy[1][[2, 0]])
    torch.testing.assert_close(found, velocity(model, *seen, *noisy)[[2, 0]], atol=1e-5, rtol=0)


def test_a_chunk_is_sampled_by_euler_steps_from_the_same_noise(model, seen):
    images, state, prompts = seen
    features = model.features(images, state)
    values, log_probs = model.generate(features, prompts)
    assert values.shape == (3, 14) and values.dtype == torch.float32 and not log_probs.any()
    with torch.no_grad():
        noise = torch.randn(2, 7, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1)
        wanted = sample(model, model.prefix_cache(features, prompts), noise, 4).clamp(-1, 1).flatten(1)
    torch.testing.assert_close(values, wanted, atol=1e-6, rtol=0)
    assert torch.equal(model.generate(features, prompts)[0], values)


def test_checkpointing_changes_no_gradient(model, seen, noisy):
    images, state, prompts = seen
    features = model.features(images, state).detach()
    gradients = []
    for checkpointing in (False, True):
        model.zero_grad()
        model.velocity(model.prefix_cache(features, prompts, checkpointing), *noisy).square().sum().backward()
        gradients.append(model.language_model.layers[0].self_attn.k_proj.weight.grad.clone())
    torch.testing.assert_close(*gradients)


def test_an_adapter_is_of_the_prefix_and_of_the_expert(policy):
    names = set(lora_parameters(policy(LoraSettings(rank=2, alpha=4.0)).model))
    assert {name.split(".")[0] for name in names} == {"language_model", "action_expert"}
    assert not reaches_features(policy().model)


def test_a_policy_acts_and_its_actions_are_no_tokens(policy):
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (84, 84, 3), np.uint8) for name in ("agentview", "wrist")}
    state = {"ee_pose": np.zeros(7, np.float32), "gripper_width": np.zeros(1, np.float32)}
    chunk = policy(LoraSettings(rank=2, alpha=4.0)).predict(Observation(7, images, state, "lift the red cube"))
    assert chunk.values.shape == (2, 7) and chunk.values.dtype == np.float32 and np.isfinite(chunk.values).all()
    assert chunk.tokens is None and not chunk.log_probs.any()


def test_a_checkpoint_is_read_as_it_was_written(policy, tmp_path, seen):
    own = policy()
    save_checkpoint(tmp_path, own.model, own.tokenizer, own.statistics, {"made_by": "a test"}, torch.float32)
    read = VlaPolicy.load(tmp_path, lora=None)
    assert read.config == CONFIG
    images, state, prompts = seen
    assert torch.equal(
        read.model.generate(read.model.features(images, state), prompts)[0],
        own.model.generate(own.model.features(images, state), prompts)[0],
    )
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"flow_steps": 4', '"flow_step": 4'))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        VlaPolicy.load(tmp_path)
