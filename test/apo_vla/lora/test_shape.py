"""Parameters of an adapter's shape are one definition wherever they are read."""

import pytest

from apo_core.config.parameters import parameter_fields
from apo_policy_node.config import PolicyConfig
from apo_trainer.config import TrainerConfig


@pytest.mark.parametrize("name", ["lora_rank", "lora_alpha", "lora_targets"])
def test_trainer_and_policy_node_share_default_and_limits(name):
    trainer, policy = (parameter_fields(config)[name][0] for config in (TrainerConfig, PolicyConfig))
    assert (trainer.default, dict(trainer.metadata)) == (policy.default, dict(policy.metadata))
