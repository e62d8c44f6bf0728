"""A policy that cannot serve here is refused before it does."""

import dataclasses

import numpy as np
import pytest

from apo_core.errors import CheckpointError, ConfigError
from apo_policy_node.config import PolicyConfig
from apo_policy_node.start_up import check_policy, warm_up


@pytest.fixture
def config() -> PolicyConfig:
    return PolicyConfig(checkpoint_dir="models/x", instruction="lift", replan_steps=4, warm_up=3)


@pytest.fixture
def loaded(policy):
    policy.chunk = policy.rows
    return policy


def test_a_fitting_policy_passes(loaded, contract, config):
    check_policy(loaded, contract, config)


def test_one_trained_for_another_contract_is_refused(loaded, contract, config):
    loaded.contract_sha256 = "e" * 64

    with pytest.raises(CheckpointError, match="models/x was trained for contract eeeeeeeeeeee"):
        check_policy(loaded, contract, config)


def test_replan_steps_above_the_chunk_are_refused(loaded, contract, config):
    with pytest.raises(ConfigError, match="replan_steps = 5 is above the 4 rows of a chunk"):
        check_policy(loaded, contract, dataclasses.replace(config, replan_steps=5))


def test_one_that_ignores_its_images_is_refused(loaded, contract, config):
    loaded.change = lambda chunk: dataclasses.replace(chunk, values=np.zeros_like(chunk.values))

    with pytest.raises(CheckpointError, match="does not look at its images"):
        check_policy(loaded, contract, config)


def test_warm_up_predicts_as_often_as_configured(loaded, contract, config):
    warm_up(loaded, contract, config)

    assert len(loaded.predicted) == 3


def test_an_empty_instruction_is_refused():
    with pytest.raises(ConfigError, match="instruction"):
        PolicyConfig(instruction=" ")
