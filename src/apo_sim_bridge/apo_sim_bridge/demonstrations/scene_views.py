"""Pictures of random scenes with where things are in them, made once and kept: what vision is trained on."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from apo_core.contract.contract import Contract
from apo_core.errors import ApoError
from apo_core.rotations import rotated
from apo_core.system.atomic_files import replacing
from apo_core.tasks.course import scene_of
from apo_core.tasks.expert import make_expert
from apo_core.tasks.lid import LidScene
from apo_core.tasks.scene import ExpertInput, Scene
from apo_core.tasks.specs import task_spec
from apo_core.tasks.subtasks import GraspTask
from apo_sim_bridge.config import SimBridgeConfig, sim_config
from apo_sim_bridge.demonstrations.collect import NoiseBursts, disturbed_actions, scaled_noise
from apo_sim_bridge.demonstrations.files import frame_state
from apo_sim_bridge.perturbation.settings import Perturbation, ScenePerturbation
from apo_sim_bridge.sim.env import SimEnv, SimFrame
from apo_sim_bridge.sim.ground_truth import expert_input

POSITION_UNIT = 0.04  # m of a position of 1 in `SceneViews.targets`
_SCENES_OF_A_FILE = 50
_SCENE_STEPS = 44  # of each scene
_EVERY = 2  # steps between pictures
_NOISE = NoiseBursts(probability=0.12, min_steps=3, max_steps=10)  # twice that of demonstrations: more places
_MAX_DRIFT_STEPS = 10  # first steps that go one random way
_DRIFT = np.repeat([0.35, 1.2], 3)  # m/s and rad/s, standard deviation per axis
_DRIFT_STREAM = 2  # keeps drift and mistakes apart from what the simulation and the bursts draw from the same seed


@dataclass(frozen=True)
class SceneViewSettings:
    """Which scenes."""

    task: str
    scenes: int
    seed: int  # of the first scene
    cameras: tuple[str, ...]
    state_keys: tuple[str, ...]
    position_range_scale: float = 1.3  # beyond where the task puts objects, so that its edges are not the data's
    # the expert mistakes the object's yaw in this share of the scenes: an aligned hand always shows the same yaw
    mistaken_share: float = 0.7
    contract_sha256: str = ""


@dataclass(frozen=True)
class SceneViews:
    """N pictures of each camera."""

    images: dict[str, np.ndarray]  # {camera: uint8 (N, H, W, 3)}
    states: dict[str, np.ndarray]  # {state key: float32 (N, n)}
    targets: np.ndarray  # float32 (N, 9 P), of `view_targets`
    scenes: np.ndarray  # int64 (N,) seed of the scene
    position_unit: float = POSITION_UNIT  # m


def view_targets(task: str, frame: SimFrame) -> np.ndarray:
    """Where the hand has to go, float32 (9 P,) for the P parts of a task, 9 values each.

    Of a grasp: to the grasp xyz, object to its place xyz, yaw as cos and sin, held. Positions are in POSITION_UNIT; a
    full turn of the yaw is one period of the grasp's symmetry. Of a lid: to where the fingers push it xyz, its angle
    [rad] and two zeros, cos and sin of twice the turn along the hinge, shut.

    Raises:
        ValueError: unknown task.
    """
    state = expert_input(frame)
    scenes = [scene_of(part, state) for part in task_spec(task).parts]
    return np.concatenate([_targets(scene) for scene in scenes]).astype(np.float32)


def view_symmetries(task: str) -> tuple[float, ...]:
    """Period [rad] of the yaw of each part in `view_targets`. Raises ValueError for an unknown task."""
    return tuple(part.grasp_symmetry if isinstance(part, GraspTask) else np.pi for part in task_spec(task).parts)


def _targets(scene: Scene | LidScene) -> np.ndarray:
    if isinstance(scene, LidScene):
        turns, ways, is_done = 2 * scene.hand_turn, [*scene.way / POSITION_UNIT, scene.angle, 0.0, 0.0], scene.placed
    else:
        turns = 2 * np.pi / scene.task.grasp_symmetry * (scene.object_yaw - scene.hand_yaw)
        ways = [*scene.to_grasp / POSITION_UNIT, *scene.to_place / POSITION_UNIT]
        is_done = scene.held
    return np.array([*ways, np.cos(turns), np.sin(turns), is_done])


def ensure_scene_views(
    settings: SceneViewSettings,
    folder: Path,
    contract: Contract,
    progress: Callable[[str], None],
    workers: int | None = None,
) -> SceneViews:
    """The views of these settings, from files where they are there, else made and written; what is done is kept.

    Args:
        settings: which scenes.
        folder: of the files, each with the scenes of some seeds.
        contract: shape of the pictures.
        progress: takes a line of text after every scene.
        workers: processes; up to 2 if None.

    Raises:
        ApoError: a simulation cannot start.
        OSError: a file cannot be written.
    """
    settings = dataclasses.replace(settings, contract_sha256=contract.sha256)
    end = settings.seed + settings.scenes
    files = [
        dataclasses.replace(settings, seed=first, scenes=min(_SCENES_OF_A_FILE, end - first))
        for first in range(settings.seed, end, _SCENES_OF_A_FILE)
    ]
    found = {part.seed: known for part in files if (known := _read(_file(folder, part), part)) is not None}
    missing = [part for part in files if part.seed not in found]
    if missing:
        done = settings.scenes - sum(part.scenes for part in missing)
        pool = get_context("spawn").Pool(
            workers or min(2, os.cpu_count() or 1), initializer=_start_worker, initargs=(settings, contract)
        )
        try:
            made = pool.imap(_run_scene, [part.seed + index for part in missing for index in range(part.scenes)])
            for part in missing:
                scenes = []
                for _ in range(part.scenes):
                    scenes.append(next(made))
                    done += 1
                    progress(f"pictures of random scenes: {done}/{settings.scenes}")
                found[part.seed] = _join(scenes, settings)
                _write(_file(folder, part), part, found[part.seed])
        finally:
            pool.terminate()
            pool.join()
    return _join([found[part.seed] for part in files], settings)


def scene_views(env: SimEnv, settings: SceneViewSettings, seed: int) -> SceneViews:
    """Every second picture of one scene, in which a badly disturbed expert moves, often to a wrong yaw."""
    rng = np.random.default_rng([seed, _DRIFT_STREAM])
    drift, drift_steps = rng.normal(0.0, _DRIFT), rng.integers(0, _MAX_DRIFT_STEPS)
    spec = task_spec(settings.task)
    mistaken = rng.random() < settings.mistaken_share
    yaw_error = rng.uniform(-0.5, 0.5) if mistaken else 0.0
    expert, frame = make_expert(settings.task), env.reset(seed)
    disturb = disturbed_actions(scaled_noise(_NOISE, settings.task), seed)
    frames = []
    # the later parts of a task are seen in scenes that begin on the way to its end
    for _ in range(rng.integers(spec.horizon // 2) if len(spec.parts) > 1 else 0):
        frame = env.step(expert.act(expert_input(frame)), render=False)
    if not frame.images:
        frame = env.observe()
    for step in range(_SCENE_STEPS):
        if step % _EVERY == 0:
            frames.append(frame)
        action = disturb(expert.act(_turned(expert_input(frame), spec.grasps, yaw_error)))
        if step < drift_steps:
            action = np.append(drift, -1.0).clip(-1.0, 1.0).astype(np.float32)
        frame = env.step(action, (step + 1) % _EVERY == 0)
    states = [frame_state(frame) for frame in frames]
    return SceneViews(
        images={name: np.stack([frame.images[name] for frame in frames]) for name in settings.cameras},
        states={key: np.stack([state[key] for state in states]) for key in settings.state_keys},
        targets=np.stack([view_targets(settings.task, frame) for frame in frames]),
        scenes=np.full(len(frames), seed, dtype=np.int64),
    )


def _turned(state: ExpertInput, grasps: Sequence[GraspTask], share: float) -> ExpertInput:
    """What an expert sees that takes the objects' yaw for another, `share` of a grasp's symmetry further."""
    objects = dict(state.objects)
    for grasp in grasps:
        pose = objects[grasp.object_name]
        turn = np.array([0.0, 0.0, share * grasp.grasp_symmetry])
        objects[grasp.object_name] = np.concatenate([pose[:3], rotated(pose[3:], turn)])
    return dataclasses.replace(state, objects=objects)


def _join(parts: Sequence[SceneViews], settings: SceneViewSettings) -> SceneViews:
    return SceneViews(
        images={name: np.concatenate([part.images[name] for part in parts]) for name in settings.cameras},
        states={key: np.concatenate([part.states[key] for part in parts]) for key in settings.state_keys},
        targets=np.concatenate([part.targets for part in parts]),
        scenes=np.concatenate([part.scenes for part in parts]),
    )


def _file(folder: Path, settings: SceneViewSettings) -> Path:
    return folder / f"{settings.seed}.npz"


def _read(path: Path, settings: SceneViewSettings) -> SceneViews | None:
    """None where the file is not there, cannot be read, or was made with other settings: it is made anew."""
    try:
        with np.load(path) as file:
            if str(file["settings"]) != json.dumps(dataclasses.asdict(settings)):
                return None
            return SceneViews(
                images={name: file[f"image/{name}"] for name in settings.cameras},
                states={key: file[f"state/{key}"] for key in settings.state_keys},
                targets=file["targets"],
                scenes=file["scenes"],
            )
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def _write(path: Path, settings: SceneViewSettings, views: SceneViews) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"image/{name}": images for name, images in views.images.items()}
    arrays |= {f"state/{key}": states for key, states in views.states.items()}
    text = json.dumps(dataclasses.asdict(settings))
    with replacing(path) as file:
        np.savez(file, settings=np.array(text), targets=views.targets, scenes=views.scenes, **arrays)


_worker: dict = {}


def _start_worker(settings: SceneViewSettings, contract: Contract) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    widest = min(settings.position_range_scale, task_spec(settings.task).max_position_range_scale)
    wide = Perturbation(scene=ScenePerturbation(position_range_scale=widest))
    scene = SimBridgeConfig(task=settings.task, horizon=_SCENE_STEPS, perturbation=wide)
    _worker.update(settings=settings, config=sim_config(scene, contract))


def _run_scene(seed: int) -> SceneViews:
    if "env" not in _worker:
        try:
            # made here and not in the initializer: a pool restarts a worker whose initializer fails, endlessly
            _worker["env"] = SimEnv(_worker["config"])
        except Exception as error:
            raise ApoError(f"the simulation cannot start: {error}") from None
    return scene_views(_worker["env"], _worker["settings"], seed)
