"""What a task is: the type of a row of the table in `specs`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apo_core.tasks.subtasks import GraspTask, SubTask


@dataclass(frozen=True, slots=True)
class MovableTarget:
    """A fixed body of a task's model that a perturbation may place elsewhere at each reset."""

    body: str  # in the model, a child of the world
    low: tuple[float, float]  # x, y of its range in the world, m
    high: tuple[float, float]
    clearance: float  # between its middle and that of every object, m


@dataclass(frozen=True, slots=True)
class CloningRecipe:
    """How the base policy of a task is made, unless config/base_policy.yaml has another value of the same name."""

    episodes: int = 8
    vision_scenes: int = 300
    vision_steps: int = 1500
    steps: int = 350
    evaluate_every: int = 50  # steps
    mlp: int = 384
    weights: str = "float16"


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
    parts: tuple[SubTask, ...]  # what the expert does, one after the other; the first one is a grasp
    patience: float = 1.0  # of the scripted operator, times its steps until an object is grasped
    min_position_range_scale: float = 0.0  # below it there is no room for all objects
    noise_scale: float = 1.0  # of the speed of the noise in demonstrations
    noise_releases: bool = True  # whether that noise opens the fingers; without it nothing falls that cannot be grasped
    success_hold_steps: int = 5  # consecutive steps that must show success, unless a parameter gives another
    target: MovableTarget | None = None  # None: the task has no fixed target
    cloning: CloningRecipe = CloningRecipe()
    # perturbation of the paper's new setting, or one of ours
    perturbed: Mapping[str, Any] = field(default_factory=lambda: {"background": "grey"})
    published: Mapping[str, float] = field(default_factory=dict)  # method -> % in the paper's table 1
    published_perturbed: Mapping[str, float] = field(default_factory=dict)  # the same in its new setting

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects, in the order of ground_truth/objects."""
        return tuple(self.bodies)

    @property
    def grasp(self) -> GraspTask:
        """The first part."""
        first = self.parts[0]
        assert isinstance(first, GraspTask)
        return first

    @property
    def grasps(self) -> tuple[GraspTask, ...]:
        """The parts that grasp an object."""
        return tuple(part for part in self.parts if isinstance(part, GraspTask))

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return tuple(name for part in self.parts for name in part.stages)

    @property
    def file_name(self) -> str:
        """Name of the task in names of files."""
        return self.name.replace("/", "_")

    @property
    def folder(self) -> str:
        """Name of the task in paths."""
        return self.file_name.lower()

    @property
    def checkpoint_dir(self) -> str:
        """Usual folder of the base policy."""
        return f"models/{self.folder}_base"

    @property
    def expert_dir(self) -> str:
        """Usual folder of the demonstrations that a training takes."""
        return f"data/expert/{self.folder}"
