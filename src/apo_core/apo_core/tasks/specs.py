"""The table of tasks. Every fact about a task stands here; a new task is a new row, and a simulation model.

Simulation, demonstrations, expert, scripted operator, session, base policy and comparisons read this table. What only
the simulator has, classes and bodies, is named by strings: this module imports no simulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from apo_core.tasks.grasp_task import GraspTask, Objects


@dataclass(frozen=True, slots=True)
class MovableTarget:
    """A fixed body of a task's model that a perturbation may place elsewhere at each reset."""

    body: str  # in the model, a child of the world
    low: tuple[float, float]  # x, y of its range in the world, m
    high: tuple[float, float]
    clearance: float  # between its middle and that of every object, m


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task. Its placement ranges and its check of success are those of the simulation model."""

    name: str  # in parameters, commands and episode files
    instruction: str  # given to the policy unless a parameter gives another
    model: str  # simulation model as `module:class`
    bodies: Mapping[str, str]  # object -> body in the model; poses on ground_truth/objects have this order
    max_position_range_scale: float  # of the model's placement ranges; beyond it objects are out of the arm's reach
    recoloured: Mapping[str, str]  # texture of the grasped object -> file in its place, of the texture blue_object
    horizon: int  # control steps after which a trial without success is truncated, unless a parameter gives another
    demonstration_steps: int  # control steps after which a demonstration without success has failed
    grasp: GraspTask  # what the expert does
    success_hold_steps: int = 5  # consecutive steps that must show success, unless a parameter gives another
    target: MovableTarget | None = None  # None: the task has no fixed target

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects, in the order of ground_truth/objects."""
        return tuple(self.bodies)

    @property
    def folder(self) -> str:
        """Name of the task in paths."""
        return self.name.lower()

    @property
    def checkpoint_dir(self) -> str:
        """Usual folder of the base policy."""
        return f"models/{self.folder}_base"

    @property
    def expert_dir(self) -> str:
        """Usual folder of the demonstrations that a training takes."""
        return f"data/expert/{self.folder}"


def task_spec(name: str) -> TaskSpec:
    """The row of a task. Raises ValueError for an unknown one."""
    if name not in TASKS:
        raise ValueError(f"task = {name!r} is not one of {list(TASKS)}")
    return TASKS[name]


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


LIFT_HEIGHT = 0.92  # m, centre of the cube; success is 0.84
STACK_GAP = 0.045  # m between the centres of stacked cubes: half of 0.04 and half of 0.05
PEG_HALF_HEIGHT = 0.1  # m
INSERTION = 0.06  # m of the peg inside the nut before the fingers open; the nut falls the rest


def _lift_place(pose: np.ndarray, objects: Objects) -> np.ndarray:
    return np.array([pose[0], pose[1], LIFT_HEIGHT])


def _never(pose: np.ndarray, objects: Objects) -> bool:
    return False


def _stack_place(pose: np.ndarray, objects: Objects) -> np.ndarray:
    return objects["cubeB"][:3] + np.array([0.0, 0.0, STACK_GAP])


def _stack_placed(pose: np.ndarray, objects: Objects) -> bool:
    offset = _stack_place(pose, objects) - pose[:3]
    return bool(np.linalg.norm(offset[:2]) < 0.03 and abs(offset[2]) < 0.01)


def _peg_place(pose: np.ndarray, objects: Objects) -> np.ndarray:
    return objects["peg1"][:3] + np.array([0.0, 0.0, PEG_HALF_HEIGHT - INSERTION])


def _peg_placed(pose: np.ndarray, objects: Objects) -> bool:
    offset = objects["peg1"][:3] - pose[:3]
    return bool(np.abs(offset[:2]).max() < 0.03 and offset[2] + PEG_HALF_HEIGHT > 0.03)


_ROWS = (
    TaskSpec(
        name="Lift",
        instruction="lift the red cube",
        model="robosuite.environments.manipulation.lift:Lift",
        bodies={"cube": "cube_main"},
        max_position_range_scale=6.0,
        recoloured={"redwood": "blue-wood.png"},
        horizon=100,
        demonstration_steps=150,
        grasp=GraspTask(
            object_name="cube",
            width=0.042,
            width_margin=0.01,
            open_width=0.06,
            reach_tolerance=0.012,
            place=_lift_place,
            placed=_never,
            releases=False,
        ),
    ),
    TaskSpec(
        name="Stack",
        instruction="stack the red cube on the green cube",
        model="robosuite.environments.manipulation.stack:Stack",
        bodies={"cubeA": "cubeA_main", "cubeB": "cubeB_main"},
        max_position_range_scale=2.5,
        recoloured={"redwood": "blue-wood.png"},
        horizon=300,
        demonstration_steps=300,
        grasp=GraspTask(
            object_name="cubeA",
            width=0.04,
            width_margin=0.01,
            open_width=0.06,
            reach_tolerance=0.012,
            place=_stack_place,
            placed=_stack_placed,
            obstacle="cubeB",
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
        target=MovableTarget("peg1", low=(0.12, 0.02), high=(0.23, 0.18), clearance=0.15),
        grasp=GraspTask(
            object_name="SquareNut",
            width=0.032,
            width_margin=0.008,
            open_width=0.06,
            reach_tolerance=0.01,
            place=_peg_place,
            placed=_peg_placed,
            grasp_offset=(0.054, 0.0, 0.0),
            grasp_symmetry=np.pi,
            finger_axis=1,
            place_symmetry=np.pi / 2,
            place_hover=0.11,
            place_slope=40.0,
        ),
    ),
)
TASKS: dict[str, TaskSpec] = {row.name: row for row in _ROWS}
DEFAULT_TASK = _ROWS[0]  # of the parameters that name a task or an instruction
