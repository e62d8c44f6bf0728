"""The operator's memory: in control, hand-back, gripper."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from apo_core.contract.contract import load_contract
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.operator_authority import OperatorAuthority
from apo_teleop.arbiter.types import ArbiterInputs, OperatorInput, Reason

CONTRACT = load_contract(Path(__file__).resolve().parents[3] / "config" / "contract.yaml")
MS = 1_000_000
UP = np.array([0, 0, 0.2, 0, 0, 0, 0], np.float32)
EXECUTED = [0.1, 0, 0, 0, 0, 0, 1.0]


@pytest.fixture
def step():
    """(operator, ms, values or None, events) -> what holds at that time."""

    def evaluate(operator, at_ms, values=None, events=(), executed=EXECUTED):
        active = values is not None
        sample = OperatorInput(at_ms * MS, at_ms * MS, True, active, values if active else np.zeros(7), tuple(events))
        operator.values = None
        return set(operator.evaluate(at_ms * MS, ArbiterInputs(at_ms * MS, operator=sample), executed))

    return evaluate


def rested(config, contract):
    """An operator who may take control."""
    operator = OperatorAuthority(config, contract)
    operator.rested()
    return operator


def test_motion_takes_control_with_the_gripper_as_it_is(step):
    operator = rested(ArbiterConfig(), CONTRACT)
    assert step(operator, 0) == set() and not operator.in_control
    assert step(operator, 50, UP) == {Reason.OPERATOR_MOTION} and operator.in_control
    assert operator.values == pytest.approx([0, 0, 0.2, 0, 0, 0, 1.0])
    # what is executed later does not change what the operator holds
    step(operator, 100, UP, executed=[0.0] * 6 + [-1.0])
    assert operator.values[6] == 1.0


def test_rest_stands_still_until_the_window_is_over(step):
    operator = rested(ArbiterConfig(hand_back_s=0.1), CONTRACT)
    step(operator, 0, UP)
    assert step(operator, 99) == {Reason.OPERATOR_REST}
    assert operator.values == [0, 0, 0, 0, 0, 0, 1.0]
    assert step(operator, 100) == set()
    assert not operator.in_control and operator.values is None


def test_hand_back_asked_for_while_moving_comes_with_the_first_rest(step):
    operator = rested(ArbiterConfig(hand_back="button"), CONTRACT)
    assert not operator.hand_back()
    step(operator, 0, UP)
    assert step(operator, 50) == {Reason.OPERATOR_REST}
    step(operator, 100, UP)
    assert operator.hand_back()
    assert step(operator, 150, UP) == {Reason.OPERATOR_MOTION}
    assert step(operator, 200) == set()
    # the next intervention knows nothing of it
    step(operator, 250, UP)
    assert step(operator, 300) == {Reason.OPERATOR_REST}


def test_a_device_that_must_rest_takes_control_only_afterwards(step):
    operator = OperatorAuthority(ArbiterConfig(), CONTRACT)
    assert step(operator, 0, UP) == {Reason.OPERATOR_NOT_AT_REST}
    assert operator.motion_rejected and not operator.in_control
    assert step(operator, 50, events=("gripper_toggle",)) == {Reason.OPERATOR_NOT_AT_REST}
    assert step(operator, 100) == set()
    assert step(operator, 150, UP) == {Reason.OPERATOR_MOTION}


def test_the_gripper_stays_until_its_action_is_carried_out(step):
    operator = rested(ArbiterConfig(hand_back="button"), CONTRACT)
    step(operator, 0, UP)
    step(operator, 50, events=("gripper_toggle",))
    assert operator.values[6] == -1.0
    step(operator, 100)
    assert operator.values[6] == 1.0
    step(operator, 150, events=("gripper_toggle",))
    operator.executed()
    step(operator, 200)
    assert operator.values[6] == -1.0


def test_whoever_may_not_take_control_is_remembered_until_rest(step):
    operator = rested(ArbiterConfig(), CONTRACT)
    assert step(operator, 0, np.full(7, np.nan)) == {Reason.STANDBY_OPERATOR_INVALID}
    assert operator.motion_rejected and not operator.in_control
    step(operator, 50)
    assert not operator.motion_rejected


def test_a_missing_device_matters_where_an_operator_is_required():
    inputs = ArbiterInputs(0)
    assert OperatorAuthority(ArbiterConfig(), CONTRACT).evaluate(0, inputs, EXECUTED) == {}
    required = OperatorAuthority(ArbiterConfig(operator_required=True), CONTRACT)
    assert set(required.evaluate(0, inputs, EXECUTED)) == {Reason.OPERATOR_ABSENT}


def test_a_device_that_comes_deflected_counts_once_it_is_let_go_of():
    operator = OperatorAuthority(ArbiterConfig(operator_required=True), CONTRACT)
    held = OperatorInput(0, 0, True, True, UP)
    for _ in range(3):
        operator.observe(held, 0)
        assert not operator.is_used  # a stick that is worn out rests deflected
    operator.observe(dataclasses.replace(held, active=False), 0)
    assert operator.is_used
    operator.observe(dataclasses.replace(held, connected=False), 0)
    assert not operator.is_used


def test_values_in_another_frame_give_no_control():
    operator = rested(ArbiterConfig(), CONTRACT)
    sample = OperatorInput(0, 0, True, True, UP, frame_id="world")
    found = operator.evaluate(0, ArbiterInputs(0, operator=sample), EXECUTED)
    assert list(found) == [Reason.STANDBY_OPERATOR_INVALID]
    assert "has the frame 'world', must have frame_id = 'base'" in found[Reason.STANDBY_OPERATOR_INVALID]
