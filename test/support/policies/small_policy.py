"""A policy of a few thousand random weights, and adapters for it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from apo_core.contract.contract import Contract
from apo_vla.checkpoints.statistics import DatasetStatistics
from apo_vla.families.small_vla.model import SmallVla, SmallVlaConfig
from apo_vla.lora.adapter import lora_state
from apo_vla.policy import Prepared, VlaPolicy


def small_config(**changes: Any) -> SmallVlaConfig:
    """A camera `front` of 16 x 16 pixels, a pose, chunks of 2 rows, 10,000 weights; `changes` are of SmallVlaConfig."""
    shape = {
        "cameras": ("front",),
        "state_keys": ("ee_pose",),
        "state_size": 7,
        "chunk": 2,
        "image_size": 16,
        "image_channels": (8, 8, 8),
        "prompt_length": 8,
        "prompt_vocabulary": 16,
        "hidden": 16,
        "layers": 1,
        "heads": 2,
        "mlp": 32,
    }
    return SmallVlaConfig(**{**shape, **changes})


def plain_statistics(
    contract: Contract,
    state_keys: Iterable[str] = ("ee_pose",),
    state_mean: float = 0.0,
    state_std: float = 1.0,
    normalised: int = 6,
) -> DatasetStatistics:
    """Seven actions of -1..1, the first `normalised` of them normalised, and the same mean and deviation everywhere."""
    sizes = {key: contract.state_spec(key).size for key in state_keys}
    return DatasetStatistics(
        action_q01=(-1.0,) * 7,
        action_q99=(1.0,) * 7,
        action_mean=(0.0,) * 7,
        action_std=(1.0,) * 7,
        action_mask=tuple(i < normalised for i in range(7)),
        state_mean={key: (state_mean,) * size for key, size in sizes.items()},
        state_std={key: (state_std,) * size for key, size in sizes.items()},
        num_frames=1,
        contract_sha256=contract.sha256,
    )


def random_model(config: SmallVlaConfig, seed: int = 0) -> SmallVla:
    """A model of initial weights, the same for the same seed; torch's own random numbers go on as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SmallVla(config)


def random_adapter(model: torch.nn.Module, seed: int = 0) -> dict[str, np.ndarray]:
    """Tensors for a model with LoRA, normal with a deviation of 0.3: enough to change its tokens."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.3, value.shape).astype(np.float32) for name, value in lora_state(model).items()}


def teacher_forced(policy: VlaPolicy, batch: Prepared, tokens: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Log-probabilities of given tokens (B, L) as in training, float32 (B, L), nats; features have no gradient."""
    tokens = torch.as_tensor(tokens, device=policy.device)
    logits = policy.model.action_logits(policy.features(batch), batch.prompt_ids, tokens)
    return policy.classes.log_probs(logits, tokens)


def forward_passes(*modules: torch.nn.Module) -> list[str]:
    """Grows by an item at each forward pass of these modules and of copies of them."""
    passes: list[str] = []
    for module in modules:
        module.register_forward_hook(lambda called, *_: passes.append(type(called).__name__))
    return passes
