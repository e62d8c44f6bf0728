import math

import numpy as np
import pytest

from apo_core.errors import ObservationError
from apo_vla.inputs.state_parts import part_faults, size_faults, state_part

SIZES = {"ee_pose": 7, "gripper_width": 1, "joints": 5}
HALF = math.sqrt(0.5)


def test_known_forms_have_no_fault():
    assert part_faults(["ee_pose:position_axis_angle", "gripper_width:two_fingers", "joints", "joints:values"]) == []


@pytest.mark.parametrize("part", ["ee_pose:euler", ":values", ""])
def test_a_malformed_part_is_a_fault(part):
    (fault,) = part_faults([part])
    assert f"state = {part!r} must be key or key:form with one of values, position_axis_angle, two_fingers" == fault


def test_sizes_add_up_to_what_the_model_reads():
    parts = ["ee_pose:position_axis_angle", "gripper_width:two_fingers", "joints"]
    assert size_faults(parts, SIZES, 6 + 2 + 5, "it") == []
    assert size_faults(parts, SIZES, 12, "it") == [f"state {parts} makes 13 numbers, it reads 12"]


def test_a_form_takes_a_state_of_its_size():
    faults = size_faults(["joints:two_fingers"], SIZES, 2, "it")
    assert faults == ["state 'joints:two_fingers': two_fingers takes 1 number(s), 'joints' has 5"]


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("joints", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("ee_pose:position_axis_angle", [1.0, 2.0, 3.0, 0.0, 0.0, math.pi / 2]),  # a quarter turn about z
        ("gripper_width:two_fingers", [0.04, -0.04]),
    ],
)
def test_a_form_makes_its_numbers(part, values):
    state = {
        "joints": np.array([0.1, 0.2, 0.3, 0.4, 0.5]),
        "ee_pose": np.array([1.0, 2.0, 3.0, 0.0, 0.0, HALF, HALF]),
        "gripper_width": np.array([0.08]),
    }
    np.testing.assert_allclose(state_part(state, part), values, atol=1e-12)


def test_a_missing_key_or_another_size_is_no_observation():
    with pytest.raises(ObservationError, match=r"state 'joints' is missing.*deployment.yaml: state"):
        state_part({}, "joints")
    with pytest.raises(ObservationError, match=r"has shape \(2,\), two_fingers .* takes \(1,\)"):
        state_part({"w": np.zeros(2)}, "w:two_fingers")
