"""How far a task has come, from ground truth of one instant: current part, stages, path left. Pure numpy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from apo_core.tasks.lid import LidScene
from apo_core.tasks.scene import ExpertInput, Scene
from apo_core.tasks.specs import task_spec
from apo_core.tasks.subtasks import PushTask, SubTask


def scene_of(part: SubTask, state: ExpertInput) -> Scene | LidScene:
    """The quantities of one part. Raises KeyError where one of its objects is missing in `state`."""
    return LidScene(part, state) if isinstance(part, PushTask) else Scene(part, state)


def current_part(parts: Sequence[SubTask], state: ExpertInput) -> int:
    """Index of the first part with something left to do, the last one where there is none.

    An object that is at its place but still held is not done.
    """
    for index, part in enumerate(parts):
        scene = scene_of(part, state)
        if not scene.placed or scene.held:
            return index
    return len(parts) - 1


def stages(task: str, state: ExpertInput) -> dict[str, bool]:
    """Whether each stage of a task is reached at this instant, in their order.

    A stage counts only while all parts before its own are in place.

    Raises:
        ValueError: unknown task.
    """
    found: dict[str, bool] = {}
    follows = True
    for part in task_spec(task).parts:
        scene = scene_of(part, state)
        if isinstance(part, PushTask):
            facts = [scene.placed]
        else:
            pose = np.asarray(state.objects[part.object_name], np.float64)
            facts = [scene.held, (part.achieved or part.placed)(pose, state.objects)]
        found.update((name, follows and fact) for name, fact in zip(part.stages, facts, strict=True))
        follows = follows and facts[-1]
    return found


def furthest_stage(instants: Iterable[Mapping[str, bool]]) -> str:
    """Name of the last stage that was ever reached; "" for none."""
    furthest, name = -1, ""
    for reached in instants:
        for index, (stage, is_reached) in enumerate(reached.items()):
            if is_reached and index > furthest:
                furthest, name = index, stage
    return name


def progress(task: str, state: ExpertInput) -> float:
    """Path left to success [m], over all parts: hand to object along the cone, object to its place; smaller is better.

    Raises:
        ValueError: unknown task.
    """
    parts = task_spec(task).parts
    first = current_part(parts, state)
    scene = scene_of(parts[first], state)
    total, state = _path(scene, has_hand=scene.held), _finished(scene)
    for part in parts[first + 1 :]:
        scene = scene_of(part, state)
        if not scene.placed:
            total, state = total + _path(scene, has_hand=False), _finished(scene)
    return total


def _path(scene: Scene | LidScene, *, has_hand: bool) -> float:
    if scene.placed:
        return 0.0
    if isinstance(scene, LidScene):
        return scene.path
    reach = 0.0 if has_hand else scene.grasp_cone.length(scene.to_grasp)
    return reach + scene.place_cone.length(scene.to_place)


def _finished(scene: Scene | LidScene) -> ExpertInput:
    """The instant after a part is done: its object at its place, the hand where it released it."""
    state = scene.state
    if isinstance(scene, LidScene) or scene.placed:
        return state
    pose = np.asarray(state.objects[scene.task.object_name], np.float64)
    placed = np.concatenate([scene.place, pose[3:]])
    hand = scene.place + scene.grasp_point - pose[:3]
    return replace(state, ee_position=hand, objects={**state.objects, scene.task.object_name: placed})
