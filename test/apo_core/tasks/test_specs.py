"""The task table: every row is whole, and its parts agree."""

from dataclasses import dataclass

import numpy as np
import pytest

from apo_core.tasks.specs import DEFAULT_TASK, TASKS, fill_from_task, task_spec


def pose(x=0.0, y=0.0, z=0.0):
    return np.array([x, y, z, 0.0, 0.0, 0.0, 1.0])


@pytest.fixture(params=TASKS.values(), ids=TASKS)
def spec(request):
    return request.param


def test_rows_have_names_of_their_own():
    assert [spec.name for spec in TASKS.values()] == list(TASKS)
    for facts in (lambda s: s.folder, lambda s: s.instruction, lambda s: s.model):
        assert len({facts(spec) for spec in TASKS.values()}) == len(TASKS)
    assert TASKS[DEFAULT_TASK.name] is DEFAULT_TASK


def test_the_grasp_uses_objects_of_the_task(spec):
    objects = {name: pose(0.1 * i, 0.0, 0.8) for i, name in enumerate(spec.objects)}
    for grasp in spec.grasps:
        assert {grasp.object_name, *grasp.obstacles} <= set(spec.objects)
        assert {grasp.fingers_of, grasp.place_object} <= {None, *spec.objects}
        held = objects[grasp.object_name]
        assert grasp.place(held, objects).shape == (3,)
        assert grasp.placed(held, objects) is False


def test_numbers_are_within_reason(spec):
    assert spec.max_position_range_scale >= 1.0 and 1 <= spec.horizon <= spec.demonstration_steps
    assert all(0.0 < grasp.width < grasp.open_width <= 0.08 for grasp in spec.grasps)


def test_a_stacked_cube_is_placed():
    grasp = TASKS["Stack"].grasp
    below = {"cubeB": pose(0.1, 0.0, 0.825)}
    np.testing.assert_allclose(grasp.place(pose(), below), [0.1, 0.0, 0.87])
    assert grasp.placed(pose(0.1, 0.02, 0.872), below)
    assert not grasp.placed(pose(0.1, 0.04, 0.87), below)
    assert not grasp.placed(pose(0.1, 0.0, 0.89), below)


def test_a_nut_around_its_peg_is_placed():
    grasp = TASKS["NutAssemblySquare"].grasp
    peg = {"peg1": pose(0.23, 0.1, 0.85)}
    np.testing.assert_allclose(grasp.place(pose(), peg), [0.23, 0.1, 0.89])
    assert grasp.placed(pose(0.25, 0.1, 0.9), peg)
    assert not grasp.placed(pose(0.27, 0.1, 0.9), peg)
    assert not grasp.placed(pose(0.23, 0.1, 0.93), peg)


@dataclass(frozen=True, slots=True)
class Trials:
    task: str
    horizon: int = 0
    success_hold_steps: int = 0

    def __post_init__(self) -> None:
        fill_from_task(self, "horizon", "success_hold_steps")


def test_zero_parameters_take_the_facts_of_the_task():
    assert [Trials(name).horizon for name in ("Lift", "Stack", "NutAssemblySquare")] == [100, 300, 400]
    assert Trials("Lift").success_hold_steps == 5
    assert Trials("Stack", horizon=7, success_hold_steps=2) == Trials("Stack", 7, 2)
    assert Trials("Stack", horizon=7).horizon == 7


def test_folders_follow_the_name_of_the_task():
    assert (TASKS["Lift"].checkpoint_dir, TASKS["Lift"].expert_dir) == ("models/lift_base", "data/expert/lift")
    assert (TASKS["Stack"].checkpoint_dir, TASKS["Stack"].expert_dir) == ("models/stack_base", "data/expert/stack")


def test_an_unknown_task_is_named_beside_the_known_ones():
    with pytest.raises(ValueError, match=r"task = 'Door' is not one of \['Lift', 'Stack'"):
        task_spec("Door")
