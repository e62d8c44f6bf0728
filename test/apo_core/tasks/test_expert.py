"""Experts on literal states."""

import numpy as np
import pytest

from apo_core.actions import CLOSED, OPEN
from apo_core.rotations import canonical_quaternion, matrix_from_quaternion, rotation_between, wrap_angle
from apo_core.tasks.course import progress
from apo_core.tasks.expert import Phase, make_expert
from apo_core.tasks.scene import ExpertInput

DOWNWARD = np.array([np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0])  # fingers along y
CUBE_Z = 0.82


def pose(x, y, z, yaw=0.0):
    return np.array([x, y, z, 0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)])


def lift(ee, width=0.08, cube=(0.0, 0.0, CUBE_Z), yaw=0.0, quaternion=DOWNWARD):
    return ExpertInput(np.array(ee), quaternion, width, {"cube": pose(*cube, yaw)})


def stack(ee, width, cube_a, cube_b=(0.1, 0.0, 0.825)):
    return ExpertInput(np.array(ee), DOWNWARD, width, {"cubeA": pose(*cube_a), "cubeB": pose(*cube_b)})


def nut(ee, width, nut_pose, peg=(0.23, 0.1, 0.85)):
    return ExpertInput(np.array(ee), DOWNWARD, width, {"SquareNut": nut_pose, "peg1": pose(*peg)})


def test_action_is_float32_in_contract_units():
    action = make_expert("Lift").act(lift([2.0, -2.0, 3.0]))
    assert action.shape == (7,) and action.dtype == np.float32
    assert np.linalg.norm(action[:3]) == pytest.approx(1.0, abs=1e-6)


def test_far_away_it_crosses_towards_the_object_with_open_fingers():
    action = make_expert("Lift").act(lift([-0.1, 0.05, 1.0]))
    assert action[0] > 0 and action[1] < 0 and action[2] < 0
    assert action[6] == OPEN


def test_beside_the_object_and_low_it_rises_before_it_crosses():
    action = make_expert("Lift").act(lift([-0.1, 0.0, CUBE_Z]))
    assert action[2] > 0.5
    assert action[0] == 0.0


def test_closed_fingers_over_the_object_rise_to_open():
    action = make_expert("Lift").act(lift([0.0, 0.0, CUBE_Z + 0.02], width=0.0))
    assert action[2] > 0 and action[6] == OPEN


def test_closes_around_the_object_then_lifts():
    expert = make_expert("Lift")
    assert expert.act(lift([0.0, 0.0, CUBE_Z]))[6] == CLOSED
    for width in (0.07, 0.06, 0.05, 0.042, 0.042):
        action = expert.act(lift([0.0, 0.0, CUBE_Z], width=width))
    assert expert.phase is Phase.CARRY
    assert action[2] == pytest.approx(1.0) and action[6] == CLOSED


def test_takes_over_a_grasped_object_without_opening():
    expert = make_expert("Lift")
    state = lift([0.0, 0.0, 0.85], width=0.042, cube=(0.0, 0.0, 0.85))
    assert all(expert.act(state)[6] == CLOSED for _ in range(8))
    assert expert.phase is Phase.CARRY


def test_starts_again_when_the_object_is_dropped():
    expert = make_expert("Lift")
    for _ in range(8):
        expert.act(lift([0.0, 0.0, 0.85], width=0.042, cube=(0.0, 0.0, 0.85)))
    action = expert.act(lift([0.0, 0.0, 0.9], width=0.0))
    assert expert.phase is Phase.APPROACH and action[6] == OPEN


def test_gives_up_closing_on_nothing():
    expert = make_expert("Lift")
    expert.act(lift([0.0, 0.0, CUBE_Z]))
    for _ in range(16):
        expert.act(lift([0.0, 0.0, CUBE_Z], width=0.0))
    assert expert.phase is Phase.APPROACH


def test_reset_starts_with_the_approach():
    expert = make_expert("Lift")
    expert.act(lift([0.0, 0.0, CUBE_Z]))
    expert.reset()
    assert expert.phase is Phase.APPROACH
    assert expert.act(lift([0.0, 0.0, 1.0]))[6] == OPEN


@pytest.mark.parametrize(("yaw", "sign"), [(0.3, 1), (-0.3, -1), (0.3 + np.pi / 2, 1), (0.0, 0)])
def test_turns_the_short_way_to_a_cube(yaw, sign):
    action = make_expert("Lift").act(lift([0.0, 0.0, 1.0], yaw=yaw))
    assert np.sign(np.round(action[5], 6)) == sign


def test_straightens_a_tilted_hand():
    tilt = 0.2  # rad about +x, applied after the hand points down
    quaternion = np.array([np.cos(tilt / 2) * DOWNWARD[0], np.cos(tilt / 2) * DOWNWARD[1], 0.0, 0.0])
    quaternion += np.sin(tilt / 2) * np.array([0.0, 0.0, DOWNWARD[1], -DOWNWARD[0]])
    action = make_expert("Lift").act(lift([0.0, 0.0, 1.0], quaternion=quaternion))
    assert action[3] == pytest.approx(-10.0 * tilt, abs=1e-3)


def test_stack_lets_go_over_the_other_cube_and_then_rises():
    expert = make_expert("Stack")
    there = (0.1, 0.0, 0.825 + 0.045)
    for _ in range(8):
        expert.act(stack(there, 0.04, there))
    assert expert.phase is Phase.RELEASE
    for _ in range(8):
        action = expert.act(stack(there, 0.08, there))
    assert expert.phase is Phase.RETREAT
    assert action[2] > 0 and action[6] == OPEN


def test_stack_puts_the_fingers_beside_the_neighbour():
    # the neighbour lies along y, where the fingers of the arm at rest would come down
    state = stack([0.0, 0.0, 0.95], 0.08, (0.0, 0.0, 0.82), (0.0, 0.075, 0.825))
    assert abs(make_expert("Stack").act(state)[5]) == pytest.approx(4.0, abs=0.01)


def test_nut_is_grasped_by_its_handle():
    action = make_expert("NutAssemblySquare").act(nut([0.0, 0.0, 0.95], 0.08, pose(0.0, 0.0, 0.83)))
    assert action[0] == pytest.approx(14.0 * 0.054, rel=1e-3)
    assert action[1] == pytest.approx(0.0, abs=1e-6)


def test_nut_is_held_above_the_peg_until_it_is_centred():
    expert = make_expert("NutAssemblySquare")
    held = pose(0.15, 0.1, 0.87)
    for _ in range(8):
        action = expert.act(nut([0.15 + 0.054, 0.1, 0.87], 0.03, held))
    assert expert.phase is Phase.CARRY
    assert action[2] > 0.5 and action[0] == 0.0


def test_progress_falls_along_the_way():
    states = [
        lift([-0.2, 0.0, CUBE_Z]),
        lift([-0.2, 0.0, 0.9]),
        lift([0.0, 0.0, 0.9]),
        lift([0.0, 0.0, CUBE_Z]),
        lift([0.0, 0.0, 0.86], width=0.042, cube=(0.0, 0.0, 0.86)),
    ]
    remaining = [progress("Lift", state) for state in states]
    assert remaining == sorted(remaining, reverse=True) and len(set(remaining)) == len(remaining)
    assert remaining[3] == pytest.approx(0.92 - CUBE_Z)


def test_progress_is_zero_when_placed():
    assert progress("Stack", stack([0.0, 0.0, 1.0], 0.08, (0.1, 0.0, 0.87))) == 0.0


def test_unknown_task_is_named():
    with pytest.raises(ValueError, match=r"'Door'.*Lift"):
        make_expert("Door")
    with pytest.raises(ValueError, match=r"'Door'.*Lift"):
        progress("Door", lift([0.0, 0.0, 1.0]))


def test_rotations_on_literals():
    assert canonical_quaternion(np.array([0.0, 0.0, -2.0, 0.0])).tolist() == [0.0, 0.0, 1.0, 0.0]
    np.testing.assert_allclose(matrix_from_quaternion(DOWNWARD), [[0, 1, 0], [1, 0, 0], [0, 0, -1]], atol=1e-12)
    x, y = np.eye(3)[0], np.eye(3)[1]
    np.testing.assert_allclose(rotation_between(x, y), [0, 0, np.pi / 2])
    np.testing.assert_allclose(rotation_between(x, x), 0)
    assert np.linalg.norm(rotation_between(x, -x)) == pytest.approx(np.pi)
    assert wrap_angle(3.5, np.pi) == pytest.approx(3.5 - np.pi)
    assert wrap_angle(-np.pi) == pytest.approx(-np.pi)


def test_turns_back_through_rest_rather_than_past_the_wrists_limit():
    # hand turned 95 degrees left of rest, handle 80 degrees right of it: 175 degrees back, never 185 onwards
    yaw = np.deg2rad(95)
    half = np.array([np.cos(yaw / 2), np.sin(yaw / 2)])
    turned = np.array([half[0] * np.sqrt(0.5) - half[1] * np.sqrt(0.5), np.sqrt(0.5) * (half[0] + half[1]), 0.0, 0.0])
    objects = {"SquareNut": pose(0.0, 0.0, 0.83, np.deg2rad(-80)), "peg1": pose(0.23, 0.1, 0.85)}
    state = ExpertInput(np.array([0.0, 0.0, 0.95]), turned, 0.08, objects)
    assert make_expert("NutAssemblySquare").act(state)[5] == pytest.approx(-4.0, abs=0.01)
