import numpy as np
import pytest

from apo_core.contract.action_range import DataRange, compare_ranges
from apo_core.contract.specs import ActionSpec

ACTION = ActionSpec(("vx", "gripper"), ("m/s", "-1 open .. 1 closed"), (-0.5, -1.0), (0.25, 1.0))


def compared(low, high):
    return compare_ranges(DataRange(np.array([low, -1.0]), np.array([high, 1.0])), ACTION)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-0.05, 0.0), (0.0, 0.05), (-0.5, 0.25)])
def test_data_within_twice_and_above_a_tenth_of_the_contract_fit(low, high):
    found = compared(low, high)
    assert (found.beyond, found.tiny) == ((), ())


@pytest.mark.parametrize(("low", "high"), [(-1.01, 0.0), (0.0, 1.01), (-20.0, 20.0)])
def test_data_far_beyond_the_contract_are_named(low, high):
    (line,) = compared(low, high).beyond
    assert line.startswith(f"vx: the training data reach {low:.3g} .. {high:.3g} m/s, the contract -0.5 .. 0.25 (")


def test_data_that_never_reach_a_tenth_are_named():
    found = compared(-0.04, 0.049)
    assert found.beyond == ()
    assert found.tiny[0].startswith("vx: the training data reach -0.04 .. 0.049 m/s")


def test_every_dimension_is_compared():
    found = compare_ranges(DataRange(np.array([0.0, -1.0]), np.array([9.0, 3.0])), ACTION)
    assert [line.split(":")[0] for line in found.beyond] == ["vx", "gripper"]


@pytest.mark.parametrize(
    ("low", "high", "fault"),
    [
        (-1.0, 1.0, ""),
        (-0.6, 0.9, ""),
        (0.0, 1.0, ": it never opens"),
        (-1.0, 0.0, ": it never closes"),
        (-1.0, 0.04, ": it never closes"),
    ],
)
def test_the_data_of_a_gripper_reach_both_its_ends(low, high, fault):
    action = ActionSpec((*"abcdef", "gripper"), ("m/s",) * 7, (-1.0,) * 7, (1.0,) * 7)
    found = compare_ranges(DataRange(np.array([-0.9] * 6 + [low]), np.array([0.9] * 6 + [high])), action)
    assert found.beyond == ()
    assert [line.startswith("gripper: ") and line.endswith(fault) for line in found.tiny] == [True] * bool(fault)
