"""The optimizers that `optimizer` names."""

import pytest
import torch

from apo_core.errors import ConfigError
from apo_trainer.config import TrainingConfig
from apo_trainer.optimisation.optimizers import make_optimizer
from apo_vla.lora.shape import LoraShape


def stepped(gradient: torch.Tensor, **settings) -> torch.Tensor:
    """Zeros after one step along a gradient."""
    value = torch.nn.Parameter(torch.zeros_like(gradient))
    value.grad = gradient.clone()
    make_optimizer({"a": value}, TrainingConfig(**settings)).step()
    return value.detach()


def test_muon_moves_all_directions_of_a_matrix_alike():
    # singular values 100 and 1 become two of about one size
    step = stepped(torch.diag(torch.tensor([100.0, 1.0])), optimizer="muon", learning_rate=0.01)
    assert step[0, 0] < 0 and step[1, 1] < 0
    assert 0.3 < step[1, 1] / step[0, 0] < 3.0


def test_step_of_muon_is_as_large_as_one_of_adamw():
    # a share of 0.2 to 0.4 of the rate a weight, whatever the shape (arXiv 2502.16982, section 2.2)
    gradient = torch.randn(32, 128, generator=torch.Generator().manual_seed(0))
    rms = stepped(gradient, optimizer="muon", learning_rate=0.01).square().mean().sqrt()
    assert 0.001 < rms < 0.004


def test_adamw_moves_each_weight_by_the_rate():
    step = stepped(torch.tensor([[100.0, -1.0]]), optimizer="adamw", learning_rate=0.01)
    torch.testing.assert_close(step, torch.tensor([[-0.01, 0.01]]))


def test_muon_rejects_a_layer_that_is_no_matrix():
    parameters = {
        "language_model.q_proj.lora_A": torch.nn.Parameter(torch.zeros(2, 3)),
        "image_encoders.0.lora_A": torch.nn.Parameter(torch.zeros(2, 3, 3, 3)),
    }
    with pytest.raises(ConfigError) as raised:
        make_optimizer(parameters, TrainingConfig(optimizer="muon", lora=LoraShape(lora_targets="image_encoders.0")))
    for part in (
        "optimizer = muon",
        "lora_targets = 'image_encoders.0'",
        "image_encoders.0.lora_A, of shape (2, 3, 3, 3)",
        "set optimizer = adamw and learning_rate = 0.001",
        "config/trainer.yaml",
    ):
        assert part in str(raised.value)
