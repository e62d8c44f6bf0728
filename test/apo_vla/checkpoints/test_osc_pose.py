import numpy as np
import pytest

from apo_core.contract.action_range import DataRange
from apo_vla.checkpoints.osc_pose import osc_hint, osc_scale

PLAIN = ((20.0,) * 6 + (-2.0,), (0.0,) * 6 + (1.0,))


def converted(reach, gripper, scale, offset):
    """Data within -reach .. reach, rotations within a tenth of it, and a gripper (open, closed), converted."""
    low, high = (np.array([side * reach] * 3 + [side * reach / 10] * 3 + [0.0]) for side in (-1, 1))
    low[6], high[6] = gripper
    return DataRange(low * scale + offset, high * scale + offset)


def test_an_input_of_1_is_5_cm_or_half_a_radian_a_step():
    assert osc_scale(20.0) == (1.0, 1.0, 1.0, 10.0, 10.0, 10.0)
    assert osc_scale(10.0) == (0.5, 0.5, 0.5, 5.0, 5.0, 5.0)


@pytest.mark.parametrize(
    ("gripper", "proposed"),
    [
        ((-1.0, 1.0), "action_scale=[1,1,1,10,10,10,1] action_offset=[0,0,0,0,0,0,0]"),
        ((1.0, 0.0), "action_scale=[1,1,1,10,10,10,-2] action_offset=[0,0,0,0,0,0,1]"),
    ],
)
def test_data_within_1_are_taken_for_inputs_of_osc_pose(gripper, proposed):
    hint = osc_hint(converted(0.94, gripper, *PLAIN), *PLAIN, 20.0)
    assert hint.endswith(proposed) and "OSC_POSE" in hint


@pytest.mark.parametrize("reach", [0.05, 20.0])
def test_displacements_and_other_units_are_not(reach):
    assert osc_hint(converted(reach, (1.0, 0.0), *PLAIN), *PLAIN, 20.0) == ""


def test_data_that_are_converted_so_need_no_hint():
    right = ((1.0, 1.0, 1.0, 10.0, 10.0, 10.0, 1.0), (0.0,) * 7)
    assert osc_hint(converted(0.94, (-1.0, 1.0), *right), *right, 20.0) == ""
