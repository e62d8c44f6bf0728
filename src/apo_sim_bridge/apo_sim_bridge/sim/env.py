"""robosuite behind reset and step: physical units in, images and robot state out. No ROS."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from apo_core.actions import TWIST
from apo_core.errors import ConfigError
from apo_core.rotations import canonical_quaternion
from apo_core.tasks.specs import DEFAULT_TASK, task_names, task_spec
from apo_sim_bridge.perturbation.appearance import swap_textures, texture_files
from apo_sim_bridge.perturbation.distractors import add_distractors
from apo_sim_bridge.perturbation.model import ModelPerturber, is_needed
from apo_sim_bridge.perturbation.settings import Perturbation
from apo_sim_bridge.sim.model_class import is_mimicgen, model_class
from apo_sim_bridge.sim.rendering import FrameRenderer, prepare_backend

if TYPE_CHECKING:
    import mujoco

GRIPPER_OPEN_M, GRIPPER_CLOSED_M = 0.08, 0.0  # between the fingers
PHYSICS_STEP_S = 0.002  # robosuite's SIMULATION_TIMESTEP
# Full scale of an action: m/s, rad/s, gripper; at 20 Hz these are robosuite's 0.05 m and 0.5 rad per step.
ACTION_SCALE = np.array([1.0, 1.0, 1.0, 10.0, 10.0, 10.0, 1.0])
ACTION_TOLERANCE = 1e-3  # share of full scale forgiven for rounding


@dataclass(frozen=True, slots=True)
class SimConfig:
    """What to simulate. Raises ConfigError with every fault found."""

    task: str = DEFAULT_TASK.name  # name in tasks.specs
    camera_height: int = 84  # pixels
    camera_width: int = 84  # pixels
    cameras: Mapping[str, str] = field(  # published name -> robosuite camera
        default_factory=lambda: {"agentview": "agentview", "wrist": "robot0_eye_in_hand"}
    )
    rate_hz: float = 20.0  # control steps per second of simulated time
    horizon: int = DEFAULT_TASK.horizon  # steps after which frames are marked `truncated`; stepping on is allowed
    perturbation: Perturbation = field(default_factory=Perturbation)  # delays and losses are not the simulation's

    def __post_init__(self) -> None:
        faults = []
        if self.task not in task_names():
            faults.append(f"task = {self.task!r} is not one of {list(task_names())}")
        for name, low, high in (("camera_height", 16, 1024), ("camera_width", 16, 1024), ("horizon", 1, 100_000)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                faults.append(f"{name} = {value!r} must be a whole number in [{low}, {high}]")
        if not isinstance(self.cameras, Mapping) or not all(
            isinstance(part, str) and part for pair in self.cameras.items() for part in pair
        ):
            faults.append(f"cameras = {self.cameras!r} must map published names to robosuite cameras")
        rate = self.rate_hz
        if not _is_number(rate) or not 1 <= rate <= 100 or not _whole_physics_steps(rate):
            faults.append(f"rate_hz = {rate!r} must be in [1, 100] and divide {1 / PHYSICS_STEP_S:g} physics steps/s")
        if self.task in task_names():
            faults += self.perturbation.faults(self.task, self.cameras)
        if faults:
            raise ConfigError("SimConfig (config/sim_bridge.yaml)", faults)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole_physics_steps(rate_hz: float) -> bool:
    # robosuite truncates this quotient, so a rate that does not divide evenly would run at another speed
    return math.isclose(int(1.0 / rate_hz / PHYSICS_STEP_S) * PHYSICS_STEP_S, 1.0 / rate_hz, rel_tol=1e-9)


@dataclass(frozen=True, slots=True)
class SimFrame:
    """One instant. Poses are in the simulation's world frame, whose axes are those of the robot's base."""

    images: dict[str, np.ndarray]  # published name -> uint8 (H, W, 3) rgb, upright, C-contiguous; {} if not rendered
    joint_names: tuple[str, ...]  # (7,)
    joint_positions: np.ndarray  # float64 (7,) rad
    joint_velocities: np.ndarray  # float64 (7,) rad/s
    ee_position: np.ndarray  # float64 (3,) m, the point between the fingertips
    ee_quaternion: np.ndarray  # float64 (4,) xyzw, canonical; z points out of the hand, x from finger to finger
    gripper_width: float  # m between the fingers, GRIPPER_CLOSED_M .. GRIPPER_OPEN_M
    objects: dict[str, np.ndarray]  # ground truth: name -> float64 (7,) x y z [m], quaternion xyzw canonical
    success: bool  # robosuite's own check
    truncated: bool  # step >= horizon
    step: int  # steps since reset


class SimEnv:
    """One simulated robot. Its renderer is bound to the thread that made it: call reset, step and close there.

    Raises:
        RuntimeError: no way to render headless, or robosuite is missing.
        ValueError: a camera that robosuite does not have.
    """

    def __init__(self, config: SimConfig):
        self.config = config
        prepare_backend()
        self._thread = threading.get_ident()
        self._env = _make_robosuite(config)
        # everything is read from the model below; robosuite's own observables cost time at every physics step
        self._env._observables.clear()
        self._samplers = _samplers(self._env.placement_initializer)
        scale = config.perturbation.scene.position_range_scale
        for sampler in self._samplers:
            sampler.x_range = _scaled(sampler.x_range, scale)
            sampler.y_range = _scaled(sampler.y_range, scale)
        self._model, self._data = self._env.sim.model._model, self._env.sim.data._data
        robot = self._env.robots[0]
        self._joint_names = tuple(robot.robot_joints)
        self._qpos, self._qvel = list(robot._ref_joint_pos_indexes), list(robot._ref_joint_vel_indexes)
        self._fingers = list(robot._ref_gripper_joint_pos_indexes["right"])
        self._ee_site = robot.eef_site_id["right"]
        self._bodies = {name: self._model.body(body).id for name, body in task_spec(config.task).bodies.items()}
        self._renderer = FrameRenderer(self._model, config.camera_height, config.camera_width, config.cameras)
        self._perturber = None
        if is_needed(config.perturbation):
            spec = task_spec(config.task)
            self._perturber = ModelPerturber(self._model, self._data, config.perturbation, spec, config.cameras)
        self._step = 0
        self._ready = False

    @property
    def model(self) -> mujoco.MjModel:
        """What is simulated, to look at."""
        return self._model

    @property
    def data(self) -> mujoco.MjData:
        """Its state, to look at."""
        return self._data

    def reset(self, seed: int) -> SimFrame:
        """Starts an episode; the frames that follow depend on config, seed and actions alone.

        Raises:
            ValueError: seed is negative.
        """
        self._check_thread()
        if seed < 0:
            raise ValueError(f"seed = {seed} must be at least 0")
        rng = np.random.default_rng(seed)
        self._env.rng = rng
        for sampler in self._samplers:
            sampler.rng = rng
        if self._perturber is None:
            self._env.reset()
        else:
            self._perturber.restore()
            self._env.reset()
            self._perturber.apply(seed)
        self._step = 0
        self._ready = True
        return self._frame()

    def step(self, action: np.ndarray, render: bool = True) -> SimFrame:
        """Runs one control period.

        Args:
            action: float (7,): vx vy vz [m/s], wx wy wz [rad/s] in the base's axes, gripper -1 open .. 1 close.
            render: False leaves the frame without images, which cost more than the physics.

        Raises:
            ValueError: wrong shape, not finite, or beyond full scale.
            RuntimeError: before the first reset, after close, or from another thread.
        """
        self._check_thread()
        if not self._ready:
            raise RuntimeError("SimEnv.step was called before reset")
        self._env.step(controller_input(action))
        self._step += 1
        return self._frame(render)

    def observe(self) -> SimFrame:
        """The current instant, rendered, for one that was stepped to without images."""
        self._check_thread()
        return self._frame()

    def close(self) -> None:
        """Frees the renderer and the simulation; safe to call twice."""
        if self._env is None:
            return
        self._check_thread()
        self._renderer.close()
        self._env.close()
        self._env = None

    def __enter__(self) -> SimEnv:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _check_thread(self) -> None:
        if self._env is None:
            raise RuntimeError("SimEnv is closed")
        if threading.get_ident() != self._thread:
            raise RuntimeError("SimEnv is bound to the thread that made it: its GL context cannot move to another")

    def _frame(self, render: bool = True) -> SimFrame:
        data = self._data
        quaternion = np.empty(4)
        _mujoco().mju_mat2Quat(quaternion, data.site_xmat[self._ee_site])
        fingers = data.qpos[self._fingers]
        return SimFrame(
            images=self._renderer.render(data) if render else {},
            joint_names=self._joint_names,
            joint_positions=data.qpos[self._qpos].copy(),
            joint_velocities=data.qvel[self._qvel].copy(),
            ee_position=data.site_xpos[self._ee_site].copy(),
            ee_quaternion=_xyzw(quaternion),
            gripper_width=float(np.clip(fingers[0] - fingers[1], GRIPPER_CLOSED_M, GRIPPER_OPEN_M)),
            objects={
                name: np.concatenate([data.xpos[body], _xyzw(data.xquat[body])]) for name, body in self._bodies.items()
            },
            success=bool(self._env._check_success()),
            truncated=self._step >= self.config.horizon,
            step=self._step,
        )


def controller_input(action: np.ndarray) -> np.ndarray:
    """Action in physical units (7,) -> robosuite's controller input (7,) in [-1, 1]. Raises ValueError."""
    values = np.asarray(action, dtype=np.float64)
    if values.shape != ACTION_SCALE.shape:
        raise ValueError(f"action has shape {values.shape}, must be {ACTION_SCALE.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"action = {values.tolist()} must be finite")
    scaled = values / ACTION_SCALE
    if np.abs(scaled).max() > 1.0 + ACTION_TOLERANCE:
        raise ValueError(f"action = {values.tolist()} exceeds +-{ACTION_SCALE.tolist()} (config/contract.yaml: action)")
    return np.clip(scaled, -1.0, 1.0)


def _mujoco() -> Any:
    import mujoco

    return mujoco


def _xyzw(wxyz: np.ndarray) -> np.ndarray:
    return canonical_quaternion(np.roll(wxyz, -1))


def _scaled(bounds: Sequence[float], scale: float) -> tuple[float, float]:
    centre, half = (bounds[0] + bounds[1]) / 2, (bounds[1] - bounds[0]) / 2
    return (centre - scale * half, centre + scale * half)


def _samplers(initializer: Any) -> list[Any]:
    return list(initializer.samplers.values()) if hasattr(initializer, "samplers") else [initializer]


def _make_robosuite(config: SimConfig) -> Any:
    # a filter set before the import also keeps back the warning about private macros
    logging.getLogger("robosuite_logs").addFilter(_only_errors)
    try:
        import robosuite
    except ImportError as error:
        raise RuntimeError(f"SimEnv needs robosuite: pip install robosuite==1.5.2 mujoco==3.3.7 ({error})") from error

    scene, spec = config.perturbation.scene, task_spec(config.task)
    bodies, model = spec.bodies.values(), spec.model
    files = texture_files(scene.background, scene.texture)
    base: Any = model_class(model)

    class Environment(base):
        def edit_model_xml(self, xml_str: str) -> str:
            xml = swap_textures(super().edit_model_xml(xml_str), files, bodies)
            return add_distractors(xml, scene.distractors)

    controller = robosuite.load_composite_controller_config(controller="BASIC", robot="Panda")
    limits = (ACTION_SCALE[TWIST] / config.rate_hz).tolist()
    arm = controller["body_parts"]["right"]
    arm["output_max"], arm["output_min"] = limits, [-limit for limit in limits]
    return Environment(
        robots="Panda",
        controller_configs=controller,
        control_freq=config.rate_hz,
        horizon=config.horizon,
        ignore_done=True,
        hard_reset=False,
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        use_object_obs=False,
        renderer="mujoco",
        # fixes what is drawn once per model, such as the size of Lift's cube; mimicgen draws nothing and takes no seed
        **({} if is_mimicgen(model) else {"seed": 0}),
    )


def _only_errors(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
