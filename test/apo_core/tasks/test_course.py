"""How far a task has come, on literal states."""

import numpy as np
import pytest

from apo_core.tasks.course import current_part, furthest_stage, progress, stages
from apo_core.tasks.scene import ExpertInput
from apo_core.tasks.specs import TASKS

DOWNWARD = np.array([np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0])  # fingers along y
ON_TABLE = {"cubeA": (0.0, 0.1, 0.82), "cubeB": (0.05, -0.05, 0.825), "cubeC": (-0.1, 0.0, 0.82)}
ON_B = {**ON_TABLE, "cubeA": (0.05, -0.05, 0.87)}
DONE = {**ON_B, "cubeC": (0.05, -0.05, 0.91)}


def pose(x, y, z):
    return np.array([x, y, z, 0.0, 0.0, 0.0, 1.0])


def state(places, hand=(-0.1, 0.0, 1.0), width=0.08):
    objects = {name: pose(*place) for name, place in places.items()}
    return ExpertInput(np.array(hand), DOWNWARD, width, objects)


def part(instant):
    return current_part(TASKS["StackThree"].parts, instant)


def reached(instant):
    return [name for name, is_reached in stages("StackThree", instant).items() if is_reached]


def test_the_first_part_with_something_left_is_the_current_one():
    assert part(state(ON_TABLE)) == 0
    assert part(state(ON_B)) == 1
    assert part(state(DONE)) == 1
    assert part(state({**DONE, "cubeA": (0.0, 0.1, 0.82)})) == 0


def test_an_object_at_its_place_is_not_done_while_it_is_held():
    assert part(state(ON_B, hand=(0.05, -0.05, 0.87), width=0.04)) == 0
    assert part(state(ON_B, hand=(0.05, -0.05, 0.87), width=0.07)) == 1


def test_stages_are_reached_one_after_the_other():
    assert reached(state(ON_TABLE)) == []
    assert reached(state(ON_TABLE, hand=(0.0, 0.1, 0.82), width=0.04)) == ["grasped A"]
    assert reached(state(ON_B)) == ["A on B"]
    assert reached(state(ON_B, hand=(-0.1, 0.0, 0.82), width=0.04)) == ["A on B", "grasped C"]
    assert reached(state(DONE)) == ["A on B", "C on A"]


def test_a_later_object_does_not_count_before_the_earlier_one():
    assert reached(state(ON_TABLE, hand=(-0.1, 0.0, 0.82), width=0.04)) == []


def test_a_lifted_cube_is_a_stage_though_it_has_no_place():
    held = ExpertInput(np.array([0.0, 0.0, 0.86]), DOWNWARD, 0.042, {"cube": pose(0.0, 0.0, 0.86)})
    assert stages("Lift", held) == {"grasped": True, "lifted": True}


def test_the_furthest_stage_is_the_last_one_ever_reached():
    assert furthest_stage([]) == ""
    course = [{"a": True, "b": False}, {"a": False, "b": True}, {"a": False, "b": False}]
    assert furthest_stage(course) == "b"
    assert furthest_stage(course[:1]) == "a"


def test_the_path_falls_over_all_parts():
    course = [
        state(ON_TABLE),
        state(ON_TABLE, hand=(0.0, 0.1, 0.9)),
        state(ON_TABLE, hand=(0.0, 0.1, 0.82), width=0.04),
        state({**ON_TABLE, "cubeA": (0.05, -0.05, 0.95)}, hand=(0.05, -0.05, 0.95), width=0.04),
        state(ON_B, hand=(0.05, -0.05, 0.87)),
        state(ON_B, hand=(-0.1, 0.0, 0.9)),
        state({**ON_B, "cubeC": (-0.05, 0.0, 1.0)}, hand=(-0.05, 0.0, 1.0), width=0.04),
    ]
    left = [progress("StackThree", instant) for instant in course]
    assert left == sorted(left, reverse=True) and len(set(left)) == len(left)
    assert progress("StackThree", state(DONE)) == 0.0


def test_the_path_does_not_jump_when_a_part_is_done():
    release = {"hand": (0.05, -0.05, 0.87)}
    held, open_ = state(ON_B, **release, width=0.04), state(ON_B, **release)
    assert progress("StackThree", held) == pytest.approx(progress("StackThree", open_), abs=1e-6)


def test_what_comes_undone_is_path_again():
    undone = state({**ON_B, "cubeA": (0.12, -0.05, 0.82)}, hand=(-0.1, 0.0, 0.9))
    assert progress("StackThree", undone) > progress("StackThree", state(ON_B, hand=(-0.1, 0.0, 0.9))) + 0.2


def test_unknown_tasks_are_named():
    for function in (progress, stages):
        with pytest.raises(ValueError, match=r"'Door'.*Lift"):
            function("Door", state(ON_TABLE))
