"""The table of tasks. Every fact about a task stands here; a new task is a new row, and a simulation model.

Simulation, demonstrations, expert, scripted operator, session, base policy and comparisons read this table. What only
the simulator has, classes and bodies, is named by strings: this module imports no simulator. The tasks `mimicgen/...`
are the same tasks in the environments of the package mimicgen, which a user installs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from apo_core.tasks import goals
from apo_core.tasks.subtasks import GraspTask, PushTask
from apo_core.tasks.task_spec import MovableTarget, TaskSpec


def task_spec(name: str) -> TaskSpec:
    """The row of a task. Raises ValueError for an unknown one."""
    if name not in task_names():
        raise ValueError(f"task = {name!r} is not one of {list(task_names())}")
    return TASKS[name] if name in TASKS else MIMICGEN_TASKS[name]


def task_names() -> tuple[str, ...]:
    """The names that `task` parameters accept."""
    return (*TASKS, *MIMICGEN_TASKS)


def fill_from_task(config: Any, *names: str) -> None:
    """Replaces parameters that are 0 by the task's facts of the same names.

    Args:
        config: a frozen dataclass with a `task`, which calls this in its `__post_init__`.
        names: of the parameters.

    Raises:
        ValueError: unknown task.
    """
    spec = task_spec(config.task)
    for name in names:
        if getattr(config, name) == 0:
            object.__setattr__(config, name, getattr(spec, name))


_ARM_BASE = (-0.56, 0.0)  # m

_on_cube_b, _is_on_cube_b = goals.on_top_of("cubeB", 0.045)  # half of 0.04 and half of 0.05
_on_cube_a, _is_on_cube_a = goals.on_top_of("cubeA", 0.04)
_on_peg, _is_on_peg = goals.around_peg("peg1")
_in_base, _is_in_base = goals.on_top_of("base", 0.032, aside=0.02, off=0.015)
_on_piece1, _is_on_piece1 = goals.on_top_of("base", 0.099, "piece1", aside=0.02, off=0.015)
_in_holder, _is_in_holder = goals.inside_of("machine", (0.0, 0.106, 0.0706), drop=0.02, aside=0.0052)

_RED_TO_BLUE = {"redwood": "blue-wood.png"}


def _cube(name: str, **rest: Any) -> GraspTask:
    return GraspTask(object_name=name, width=0.04, width_margin=0.01, open_width=0.06, reach_tolerance=0.012, **rest)


def _piece(name: str, width: float, above: float, **rest: Any) -> GraspTask:
    number = name[-1]
    return GraspTask(
        object_name=name,
        stages=(f"grasped {number}", f"inserted {number}"),
        width=width,
        width_margin=0.008,
        open_width=0.06,
        reach_tolerance=0.01,
        grasp_offset=(0.0, 0.0, above),
        grasp_symmetry=np.pi,
        finger_axis=0,
        place_yaw_tolerance=np.deg2rad(3.0),
        place_slope=40.0,
        arm_base=_ARM_BASE,
        is_upright=True,
        **rest,
    )


_NUT = GraspTask(
    object_name="SquareNut",
    stages=("grasped", "inserted"),
    width=0.032,
    width_margin=0.008,
    open_width=0.06,
    reach_tolerance=0.01,
    place=_on_peg,
    placed=_is_on_peg,
    grasp_offset=(0.054, 0.0, 0.0),
    grasp_symmetry=np.pi,
    finger_axis=1,
    place_object="peg1",
    place_symmetry=np.pi / 2,
    place_hover=0.11,
    place_slope=40.0,
    place_inside=0.05,
)

_PEG = MovableTarget("peg1", low=(0.12, 0.02), high=(0.23, 0.18), clearance=0.15)

_ROWS = (
    TaskSpec(
        name="Lift",
        instruction="lift the red cube",
        model="robosuite.environments.manipulation.lift:Lift",
        bodies={"cube": "cube_main"},
        max_position_range_scale=6.0,
        recoloured=_RED_TO_BLUE,
        horizon=100,
        demonstration_steps=150,
        parts=(
            GraspTask(
                object_name="cube",
                stages=("grasped", "lifted"),
                width=0.042,
                width_margin=0.01,
                open_width=0.06,
                reach_tolerance=0.012,
                place=goals.lift_place,
                placed=goals.never,
                achieved=goals.lifted,
                releases=False,
            ),
        ),
    ),
    TaskSpec(
        name="Stack",
        instruction="stack the red cube on the green cube",
        model="robosuite.environments.manipulation.stack:Stack",
        bodies={"cubeA": "cubeA_main", "cubeB": "cubeB_main"},
        min_position_range_scale=0.6,
        max_position_range_scale=2.5,
        recoloured=_RED_TO_BLUE,
        horizon=300,
        demonstration_steps=300,
        parts=(
            _cube("cubeA", place=_on_cube_b, placed=_is_on_cube_b, obstacles=("cubeB",), stages=("grasped", "stacked")),
        ),
    ),
    TaskSpec(
        name="NutAssemblySquare",
        instruction="put the square nut on the square peg",
        model="robosuite.environments.manipulation.nut_assembly:NutAssemblySquare",
        bodies={"SquareNut": "SquareNut_main", "peg1": "peg1"},
        max_position_range_scale=1.5,
        recoloured={"SquareNut_brass-metal": "steel-scratched.png"},
        horizon=400,
        demonstration_steps=400,
        parts=(_NUT,),
        target=_PEG,
    ),
    TaskSpec(
        name="Square",
        instruction="slide the square block onto the wooden stick",
        model="apo_sim_bridge.models.square:SquareModel",
        bodies={"SquareNut": "SquareNut_main", "peg1": "peg1"},
        max_position_range_scale=1.5,
        recoloured={"SquareNut_brass-metal": "steel-scratched.png"},
        horizon=400,
        demonstration_steps=400,
        parts=(_NUT,),
        target=_PEG,
        perturbed={"target_range_scale": 1.0},
        published={"base": 28, "dagger": 28, "dpo": 22, "kto": 32, "apo": 32},
        published_perturbed={"base": 12, "kto": 20, "apo": 26},
    ),
    TaskSpec(
        name="StackThree",
        instruction="stack the blocks in the order of blue, red, and green from top to bottom",
        model="apo_sim_bridge.models.stack_three:StackThreeModel",
        bodies={"cubeA": "cubeA_main", "cubeB": "cubeB_main", "cubeC": "cubeC_main"},
        min_position_range_scale=0.7,
        max_position_range_scale=1.8,
        recoloured=_RED_TO_BLUE,
        horizon=400,
        demonstration_steps=600,
        patience=1.5,
        noise_scale=0.5,
        parts=(
            _cube(
                "cubeA",
                place=_on_cube_b,
                placed=_is_on_cube_b,
                obstacles=("cubeB", "cubeC"),
                stages=("grasped A", "A on B"),
            ),
            _cube(
                "cubeC",
                place=_on_cube_a,
                placed=_is_on_cube_a,
                obstacles=("cubeB",),
                grasp_hover=0.11,
                turn_height=0.11,
                stages=("grasped C", "C on A"),
            ),
        ),
        published={"base": 46, "dagger": 50, "dpo": 46, "kto": 52, "apo": 54},
        published_perturbed={"base": 42, "kto": 46, "apo": 46},
    ),
    TaskSpec(
        name="ThreePieceAssembly",
        instruction="stack the three pieces",
        model="apo_sim_bridge.models.three_piece:ThreePieceModel",
        bodies={"base": "base_main", "piece1": "piece1_main", "piece2": "piece2_main"},
        min_position_range_scale=0.8,
        max_position_range_scale=1.0,
        recoloured=_RED_TO_BLUE,
        horizon=500,
        demonstration_steps=600,
        patience=2.0,
        noise_scale=0.35,
        noise_releases=False,
        parts=(
            _piece(
                "piece1",
                width=0.034,
                above=0.036,
                place=_in_base,
                placed=_is_in_base,
                place_object="base",
                place_symmetry=np.pi / 2,
                place_hover=0.055,
                place_cone=0.004,
                place_inside=0.03,
            ),
            _piece(
                "piece2",
                width=0.040,
                above=0.063,
                place=_on_piece1,
                placed=_is_on_piece1,
                place_object="piece1",
                place_symmetry=np.pi,
                place_hover=0.08,
                place_cone=0.003,
                place_inside=0.055,
            ),
        ),
        perturbed={"texture": "wood_objects"},
        published={"base": 44, "dagger": 36, "dpo": 28, "kto": 46, "apo": 46},
        published_perturbed={"base": 10, "kto": 6, "apo": 12},
    ),
    TaskSpec(
        name="Coffee",
        instruction="make coffee",
        model="apo_sim_bridge.models.coffee:CoffeeModel",
        bodies={"pod": "pod_main", "machine": "machine_main", "lid": "machine_lid"},
        max_position_range_scale=1.5,
        recoloured={},
        horizon=400,
        demonstration_steps=500,
        patience=1.5,
        noise_scale=0.5,
        noise_releases=False,
        parts=(
            GraspTask(
                object_name="pod",
                stages=("grasped", "inserted"),
                width=0.0437,
                width_margin=0.008,
                open_width=0.06,
                reach_tolerance=0.008,
                place=_in_holder,
                placed=_is_in_holder,
                grasp_offset=(0.0, 0.0, 0.012),
                grasp_symmetry=np.pi,
                finger_axis=0,
                fingers_of="machine",
                place_tolerance=0.004,
                place_hover=0.06,
                place_slope=40.0,
                place_cone=0.0015,
                place_inside=0.018,
                place_steps=3,
                is_upright=True,
            ),
            PushTask(object_name="machine", lid_name="lid", hinge=(0.0, 0.0605, 0.106)),
        ),
        published={"base": 44, "dagger": 42, "dpo": 52, "kto": 48, "apo": 60},
    ),
)
TASKS: dict[str, TaskSpec] = {row.name: row for row in _ROWS}
DEFAULT_TASK = _ROWS[0]  # of the parameters that name a task or an instruction


def _mimicgen(name: str, task: str, **bodies: str) -> TaskSpec:
    return replace(TASKS[task], name=f"mimicgen/{name}", model=f"mimicgen:{name}", bodies=bodies, recoloured={})


# the package's own environments
MIMICGEN_TASKS: dict[str, TaskSpec] = {
    row.name: row
    for row in (
        _mimicgen("Square_D0", "Square", SquareNut="SquareNut_main", peg1="peg1"),
        _mimicgen("StackThree_D0", "StackThree", cubeA="cubeA_main", cubeB="cubeB_main", cubeC="cubeC_main"),
        _mimicgen(
            "ThreePieceAssembly_D0",
            "ThreePieceAssembly",
            base="base_root",
            piece1="piece_1_root",
            piece2="piece_2_root",
        ),
        _mimicgen(
            "Coffee_D0",
            "Coffee",
            pod="coffee_pod_main",
            machine="coffee_machine_root",
            lid="coffee_machine_lid_main",
        ),
    )
}
