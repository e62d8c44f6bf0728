"""A policy that cannot serve here is rejected before it does."""

import dataclasses

import numpy as np
import pytest

from apo_core.contract.action_range import DataRange
from apo_core.errors import CheckpointError, ConfigError
from apo_core.served_policy import PolicyCapabilities
from apo_policy_node.config import PolicyConfig
from apo_policy_node.startup_checks import check_policy, unit_warnings, warm_up


@pytest.fixture
def config() -> PolicyConfig:
    return PolicyConfig(checkpoint_dir="models/x", instruction="lift", replan_steps=4, warm_up=3)


@pytest.fixture
def loaded(policy):
    return policy


def test_a_fitting_policy_passes(loaded, contract, config):
    check_policy(loaded, contract, config)


def test_units_that_do_not_fit_the_contract_are_named(loaded, contract):
    assert unit_warnings(loaded, contract) == []
    limit = np.maximum(np.abs(contract.action.low), np.abs(contract.action.high))
    loaded.data_range = DataRange(-limit, limit)
    assert unit_warnings(loaded, contract) == []
    loaded.data_range = DataRange(-limit, limit * ([33.0, 0.01] + [1.0] * (len(limit) - 2)))
    loaded.data_range.low[1] = 0.0
    names = [warning.split(":")[0] for warning in unit_warnings(loaded, contract)]
    assert names == list(contract.action.names[:2])


def test_one_trained_for_another_contract_is_rejected(loaded, contract, config):
    loaded.contract_sha256 = "e" * 64

    with pytest.raises(CheckpointError, match="models/x was trained for contract eeeeeeeeeeee"):
        check_policy(loaded, contract, config)


def test_one_bound_to_no_robot_is_rejected(loaded, contract, config):
    loaded.contract_sha256 = ""

    with pytest.raises(CheckpointError, match=r"models/x is bound to no robot: .*`apo policy bind models/x --robot"):
        check_policy(loaded, contract, config)


def test_a_policy_of_another_rate_is_rejected(loaded, contract, config):
    loaded.change = lambda chunk: dataclasses.replace(chunk, period_ns=200_000_000)

    with pytest.raises(CheckpointError, match=r"0.2 s apart \(deployment.yaml: period_s\), .* has 0.05 s \(rate_hz\)"):
        check_policy(loaded, contract, config)


def test_a_policy_of_another_number_of_actions_is_rejected(loaded, contract, config):
    loaded.change = lambda chunk: dataclasses.replace(chunk, values=chunk.values[:, :-1])

    with pytest.raises(CheckpointError, match=r"have shape \(4, \d+\), the contract has \(rows, \d+\)"):
        check_policy(loaded, contract, config)


def test_replan_steps_above_the_chunk_are_rejected(loaded, contract, config):
    with pytest.raises(ConfigError, match="replan_steps = 5 is above the 4 rows of a chunk"):
        check_policy(loaded, contract, dataclasses.replace(config, replan_steps=5))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"action_horizon": 5}, "action_horizon = 5 is above the 4 rows of a chunk"),
        ({"action_horizon": 3}, "replan_steps = 4 is above the 3 rows of a chunk"),
        ({"chunking": "realtime", "committed_rows": 4}, "committed_rows = 4 must be below the 4 rows of a chunk"),
        (
            {"chunking": "realtime", "action_horizon": 1, "replan_steps": 1},
            "'realtime' needs at least 2 rows of a chunk, there is 1; use 'replace'",
        ),
        (
            {"chunking": "realtime", "committed_rows": 1, "help_rule": "calibrated"},
            "help_rule = 'calibrated' needs chunking 'replace' or 'ensemble'",
        ),
    ],
)
def test_a_plan_that_the_chunk_is_too_short_for_is_rejected(loaded, contract, config, changes, fault):
    with pytest.raises(ConfigError, match=fault):
        check_policy(loaded, contract, dataclasses.replace(config, **changes))


def test_a_plan_that_acts_on_old_observations_is_rejected(loaded, contract, config):
    loaded.rows = loaded.chunk = 20
    check_policy(loaded, contract, dataclasses.replace(config, replan_steps=11))
    with pytest.raises(ConfigError, match=r"replan_steps = 12 acts on observations 0.550 s old, max_age_s = 0.5"):
        check_policy(loaded, contract, dataclasses.replace(config, replan_steps=12))


def test_what_a_policy_of_whole_chunks_cannot_do_is_rejected_at_once(loaded, contract, config):
    loaded.capabilities = PolicyCapabilities(committed_rows=False, entropies=False)
    changes = {"chunking": "realtime", "committed_rows": 1, "help_entropy": 1.0}
    with pytest.raises(ConfigError) as caught:
        check_policy(loaded, contract, dataclasses.replace(config, **changes))
    assert caught.value.faults == [
        "chunking = 'realtime' needs a policy that decodes token by token",
        "help_entropy = 1.0 needs a policy that decodes token by token",
    ]


def test_warm_up_goes_through_every_number_of_committed_rows(loaded, contract, config):
    warm_up(loaded, contract, dataclasses.replace(config, warm_up=1, chunking="realtime", committed_rows=2))

    assert [None if rows is None else len(rows) for rows in loaded.committed] == [None, 1, 2]


def test_one_that_ignores_its_images_is_rejected(loaded, contract, config):
    loaded.change = lambda chunk: dataclasses.replace(chunk, values=np.zeros_like(chunk.values))

    with pytest.raises(CheckpointError, match="does not look at its images"):
        check_policy(loaded, contract, config)


def test_warm_up_predicts_as_often_as_configured(loaded, contract, config):
    warm_up(loaded, contract, config)

    assert len(loaded.predicted) == 3


def test_an_empty_instruction_is_rejected():
    with pytest.raises(ConfigError, match="instruction"):
        PolicyConfig(instruction=" ")
