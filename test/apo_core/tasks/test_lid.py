"""A hinged lid that is pushed shut, on literal states."""

import numpy as np
import pytest

from apo_core.tasks.lid import LidScene
from apo_core.tasks.scene import ExpertInput
from apo_core.tasks.subtasks import PushTask

TASK = PushTask(object_name="machine", lid_name="lid", hinge=(0.0, 0.06, 0.1))
HINGE = np.array([0.0, 0.06, 1.0])  # world; the machine stands at z = 0.9, its frame along the world's axes
ALONG_HINGE = np.array([1.0, 0.0, 0.0, 0.0])  # hand down, fingers along x


def scene(hand, angle_deg=120.0):
    half = np.deg2rad(angle_deg) / 2
    objects = {
        "machine": np.array([0.0, 0.0, 0.9, 0.0, 0.0, 0.0, 1.0]),
        "lid": np.array([0.0, 0.06, 1.0, np.sin(half), 0.0, 0.0, np.cos(half)]),
    }
    return LidScene(TASK, ExpertInput(HINGE + np.asarray(hand), ALONG_HINGE, 0.0, objects))


@pytest.mark.parametrize(
    ("hand", "direction"),
    [
        ((0.0, 0.10, 0.02), (0, 0, 1)),  # before the lid: up first
        ((0.0, 0.10, 0.13), (0, -1, 0)),  # over it
        ((0.0, -0.09, 0.13), (0, 0, -1)),  # down behind it
        ((0.0, -0.09, 0.04), (0, 1, 0)),  # push
    ],
)
def test_the_fingers_go_over_behind_down_and_forward(hand, direction):
    velocity = scene(hand).velocity()
    assert np.dot(velocity / np.linalg.norm(velocity), direction) == pytest.approx(1.0, abs=0.02)


def test_a_push_has_its_own_speed():
    assert scene((0.0, -0.05, 0.04)).velocity()[1] == pytest.approx(0.4)


def test_a_falling_lid_is_left_alone():
    assert scene((0.0, 0.0, 0.04), angle_deg=60.0).velocity()[2] > 0.5


def test_the_angle_is_that_between_lid_and_machine():
    assert scene((0.0, 0.0, 0.2), angle_deg=100.0).angle == pytest.approx(np.deg2rad(100.0))
    assert scene((0.0, 0.0, 0.2), angle_deg=10.0).placed
    assert not scene((0.0, 0.0, 0.2), angle_deg=20.0).placed


def test_the_path_falls_on_the_way():
    course = [
        scene((0.0, 0.05, 0.05)),
        scene((0.0, 0.05, 0.13)),
        scene((0.0, -0.09, 0.13)),
        scene((0.0, -0.09, 0.04)),
        scene((0.0, -0.03, 0.04)),
        scene((0.0, 0.0, 0.04), angle_deg=80.0),
        scene((0.0, 0.0, 0.10), angle_deg=40.0),
        scene((0.0, 0.0, 0.13), angle_deg=0.0),
    ]
    left = [each.path for each in course]
    assert left == sorted(left, reverse=True) and len(set(left)) == len(left)
    assert left[-1] == 0.0


def test_fingers_that_lie_along_the_hinge_stay_so():
    assert scene((0.0, 0.0, 0.2)).hand_turn == pytest.approx(0.0, abs=1e-6)
