"""Kinds of failed trials."""

import numpy as np
import pytest

from apo_core.tasks.scene import ExpertInput
from apo_core.tasks.specs import TASKS
from apo_experiments.failures import FailureKind, Instant, count_text, failure_kind, instant

LIFT = TASKS["Lift"]
FAR = Instant(0.2, 0.0, held=False, closing=False)
NEAR = Instant(0.004, 0.05, held=False, closing=False)
HELD = Instant(0.004, 0.05, held=True, closing=True)


def closing(distance_m, yaw_rad):
    return Instant(distance_m, yaw_rad, held=False, closing=True)


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ([FAR, NEAR, HELD], FailureKind.UNFINISHED),
        ([FAR, HELD, NEAR], FailureKind.LOST),
        ([FAR, NEAR], FailureKind.NEVER_CLOSED),
        ([FAR, closing(0.02, 0.0)], FailureKind.BESIDE),
        ([FAR, closing(0.004, 0.6)], FailureKind.TURNED),
        ([FAR, closing(0.004, -0.6)], FailureKind.TURNED),
        ([FAR, closing(0.004, 0.05)], FailureKind.NOT_GRASPED),
        ([closing(0.004, 0.6), NEAR, closing(0.02, 0.0), closing(0.004, 0.6)], FailureKind.BESIDE),
    ],
)
def test_the_end_and_the_last_closing_decide(steps, kind):
    assert failure_kind(LIFT, steps) is kind


def at(part, held=False):
    return Instant(0.004, 0.05, held=held, closing=held, part=part)


@pytest.mark.parametrize(
    ("task", "steps", "kind"),
    [
        ("StackThree", [at(0, held=True), at(1), at(1)], FailureKind.NEVER_CLOSED),
        ("StackThree", [at(0), at(1, held=True)], FailureKind.UNFINISHED),
        ("StackThree", [at(0, held=True), at(1), at(0)], FailureKind.UNDONE),
        ("Coffee", [at(0, held=True), at(1)], FailureKind.NOT_PUSHED),
    ],
)
def test_the_part_that_was_not_done_decides(task, steps, kind):
    assert failure_kind(TASKS[task], steps) is kind


def test_an_instant_is_of_the_first_part_that_is_not_done():
    cubes = {"cubeA": (0.0, 0.0, 0.87), "cubeB": (0.0, 0.0, 0.825), "cubeC": (0.1, 0.0, 0.82)}
    objects = {name: np.array([*place, 0.0, 0.0, 0.0, 1.0]) for name, place in cubes.items()}
    down = np.array([np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0])
    found = instant(TASKS["StackThree"], ExpertInput(np.array([0.1, 0.0, 0.92]), down, 0.08, objects), np.zeros(7))
    assert (found.part, found.distance_m) == (1, pytest.approx(0.1))


def test_an_instant_is_measured_from_the_poses():
    # hand 30 mm above the cube, turned by 0.3 rad from the arm at rest, fingers pointing down
    half = (np.pi / 2 + 0.3) / 2
    down = np.array([np.cos(half), np.sin(half), 0.0, 0.0])  # half a turn about a horizontal axis
    cube = np.array([0.1, 0.0, 0.83, 0.0, 0.0, 0.0, 1.0])
    state = ExpertInput(np.array([0.1, 0.0, 0.86]), down, 0.08, {"cube": cube})
    found = instant(LIFT, state, np.array([0, 0, 0, 0, 0, 0, 1.0]))
    assert found.distance_m == pytest.approx(0.03)
    assert found.yaw_rad == pytest.approx(-0.3, abs=1e-6)
    assert (found.held, found.closing) == (False, True)
    assert not instant(LIFT, state, np.array([0, 0, 0, 0, 0, 0, -1.0])).closing


def test_kinds_are_counted_the_most_frequent_first():
    kinds = [FailureKind.LOST, FailureKind.TURNED, FailureKind.TURNED]
    assert count_text(kinds) == "failures: 2 closed at a wrong yaw, 1 grasped the object and lost it"
    assert count_text([]) == ""
