"""Steps that no arbiter sends."""

import dataclasses

import numpy as np
import pytest

from apo_recorder.step_checks import step_fault


def with_action(step, dimension, value):
    action = np.array(step.executed_action, np.float32)
    action[dimension] = value
    return dataclasses.replace(step, executed_action=action)


def test_a_sound_step_is_written(small_contract, make_step):
    step = make_step(3)
    assert step_fault(step, small_contract, 0) == ""
    assert step_fault(step, small_contract, step.observation.stamp_ns) == ""


@pytest.mark.parametrize("value", [-119_684.28, 1e30, np.inf, np.nan])
def test_an_executed_action_out_of_range_is_rejected(small_contract, make_step, value):
    name, low, high = (
        part[1] for part in (small_contract.action.names, small_contract.action.low, small_contract.action.high)
    )
    fault = step_fault(with_action(make_step(3), 1, value), small_contract, 0)
    assert fault.startswith(f"the executed {name!r} is outside of {low} .. {high} ")


def test_rounding_of_the_limits_is_forgiven(small_contract, make_step):
    low, high = small_contract.action.low[0], small_contract.action.high[0]
    assert step_fault(with_action(make_step(3), 0, high + 0.0005 * (high - low)), small_contract, 0) == ""


def test_a_step_of_an_earlier_observation_is_rejected(small_contract, make_step):
    step = make_step(3)
    fault = step_fault(step, small_contract, step.observation.stamp_ns + 1)
    assert fault == "its observation is older than that of the step before"


@pytest.mark.parametrize(("field", "name"), [("policy_action", "policy"), ("human_action", "operator")])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_an_action_that_is_not_finite_is_rejected(small_contract, make_step, field, name, value):
    action = np.zeros(7, np.float32)
    action[2] = value
    step = dataclasses.replace(make_step(3), **{field: action})
    assert step_fault(step, small_contract, 0) == f"the action of the {name} is not finite"
