"""Applies what an episode draws to a MuJoCo model: lights, cameras, friction, mass, target and distractors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from apo_core.tasks.task_spec import TaskSpec
from apo_sim_bridge.perturbation.distractors import (
    Circle,
    Distractor,
    Shape,
    body_name,
    draw_distractors,
    parked,
)
from apo_sim_bridge.perturbation.draws import SceneDraw, draw_scene, draw_target
from apo_sim_bridge.perturbation.settings import (
    CameraPerturbation,
    DynamicsPerturbation,
    LightPerturbation,
    Perturbation,
)

if TYPE_CHECKING:
    import mujoco

_TABLE = "table_collision"  # geom of robosuite's table arenas
_ROBOT, _GRIPPER = "robot", "gripper"  # beginnings of robosuite's names
_MIDDLE = np.array([0.0, 0.0, 0.8])  # of the table's top, m
_SHADOW_M = 0.02  # what ends this far above the table's top, or below it, is in nobody's way


class ModelPerturber:
    """Perturbs one model anew at each reset. It must see the model before anything else changes it.

    Args:
        model, data: of the simulation, with the distractors in it.
        perturbation: what changes.
        spec: the task.
        cameras: image of the contract -> camera of the model.

    Raises:
        ValueError: the model lacks a table or a body that the perturbation needs.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        perturbation: Perturbation,
        spec: TaskSpec,
        cameras: Mapping[str, str],
    ):
        import mujoco

        self._mujoco, self._model, self._data, self._perturbation = mujoco, model, data, perturbation
        self._scratch = mujoco.MjData(model)  # what depends on masses is computed here, not in the running state
        self._usual = {name: value.copy() for name, value in _arrays(model)}
        self._usual_headlight = {name: getattr(model.vis.headlight, name).copy() for name in _LIGHT_PARTS}
        self._usual_statistics = {name: np.copy(getattr(model.stat, name)) for name in _STATISTICS}
        self._spec, self._cameras = spec, {image: model.camera(name).id for image, name in cameras.items()}
        bodies = [model.body(name).id for name in spec.bodies.values()]
        self._objects = [body for body in bodies if model.body_dofnum[body]]
        self._object_roots = [int(model.body_rootid[body]) for body in self._objects]
        self._distractors = [model.body(body_name(index)).id for index in range(perturbation.scene.distractors)]
        names = [model.body(body).name for body in range(model.nbody)]
        self._fingers = [body for body, name in enumerate(names) if name.startswith(_GRIPPER)]
        arm = [body for body, name in enumerate(names) if name.startswith((_ROBOT, _GRIPPER))]
        not_in_the_way = {int(model.body_rootid[body]) for body in arm} | set(self._distractors)
        self._obstacles = [
            geom
            for geom in range(model.ngeom)
            if model.geom_contype[geom]
            and model.geom_bodyid[geom]
            and model.geom(geom).name != _TABLE
            and int(model.body_rootid[model.geom_bodyid[geom]]) not in not_in_the_way
        ]
        if self._distractors and _TABLE not in [model.geom(geom).name for geom in range(model.ngeom)]:
            raise ValueError(
                f"distractors = {perturbation.scene.distractors}: the model of task {spec.name!r} has no geom "
                f"{_TABLE!r} to lay them on (config/sim_bridge.yaml)"
            )

    def restore(self) -> None:
        """Takes everything back, so that the simulation's own reset never depends on the episode before."""
        for name, value in self._usual.items():
            getattr(self._model, name)[...] = value
        for name, value in self._usual_headlight.items():
            getattr(self._model.vis.headlight, name)[...] = value
        self._restore_statistics(*_STATISTICS)

    def _restore_statistics(self, *names: str) -> None:
        for name in names:
            setattr(self._model.stat, name, self._usual_statistics[name])

    def apply(self, seed: int) -> None:
        """Perturbs a model that is restored and reset, for the episode of `seed`."""
        perturbation, draw = self._perturbation, draw_scene(self._perturbation, seed)
        if perturbation.light != LightPerturbation():
            self._light(draw)
        if perturbation.camera != CameraPerturbation():
            self._move_cameras(draw)
        if perturbation.dynamics != DynamicsPerturbation():
            self._scale_dynamics(draw)
        if perturbation.scene.target_range_scale:
            self._move_target(seed)
        if self._distractors:
            self._lay_distractors(seed)
        if self._distractors or perturbation.dynamics.mass_scale != (1.0, 1.0):
            self._mujoco.mj_setConst(self._model, self._scratch)
            self._restore_statistics("center", "extent", "meansize")  # those that the renderer uses
        self._mujoco.mj_forward(self._model, self._data)

    def _light(self, draw: SceneDraw) -> None:
        model, headlight = self._model, self._model.vis.headlight
        for name in _LIGHT_PARTS:
            getattr(model, f"light_{name}")[:] *= draw.light_factors
            getattr(headlight, name)[:] *= draw.light_factors * self._perturbation.light.headlight
        turn = self._matrix(_quaternion(draw.light_turn_rad))
        model.light_dir[:] = model.light_dir @ turn.T
        model.light_pos[:] = (model.light_pos - _MIDDLE) @ turn.T + _MIDDLE

    def _move_cameras(self, draw: SceneDraw) -> None:
        model = self._model
        for image, shift in draw.cameras.items():
            camera = self._cameras[image]
            model.cam_pos[camera] += self._matrix(model.cam_quat[camera]) @ shift.offset_m
            turned = np.empty(4)
            self._mujoco.mju_mulQuat(turned, model.cam_quat[camera], _quaternion(shift.turn_rad))
            model.cam_quat[camera] = turned

    def _scale_dynamics(self, draw: SceneDraw) -> None:
        model = self._model
        model.geom_friction[:] *= draw.friction
        fingers = np.isin(model.geom_bodyid, self._fingers)
        model.geom_friction[fingers] *= draw.gripper_friction
        of_objects = np.isin(model.body_rootid, self._object_roots)
        model.body_mass[of_objects] *= draw.mass
        model.body_inertia[of_objects] *= draw.mass

    def _move_target(self, seed: int) -> None:
        target = self._spec.target
        if target is None:
            return
        body = self._model.body(target.body).id
        others = [self._data.xpos[each, :2].copy() for each in self._objects]
        scale = self._perturbation.scene.target_range_scale
        self._model.body_pos[body, :2] = draw_target(target, self._model.body_pos[body, :2], scale, others, seed)

    def _lay_distractors(self, seed: int) -> None:
        model, data = self._model, self._data
        self._mujoco.mj_kinematics(model, data)  # the target may have been moved
        table = model.geom(_TABLE).id
        middle, half = data.geom_xpos[table], model.geom_size[table]
        low, high, top = middle[:2] - half[:2], middle[:2] + half[:2], float(middle[2] + half[2])
        drawn = draw_distractors(len(self._distractors), low, high, self._taken(top), seed)
        for index, (body, one) in enumerate(zip(self._distractors, drawn, strict=True)):
            self._shape(body, one)
            where = parked(index)
            if one.position is not None:
                where = np.array([*one.position, top + float(one.half_size[2]) + 1e-3])
            joint = model.jnt_qposadr[model.body_jntadr[body]]
            data.qpos[joint : joint + 7] = [*where, *_quaternion(np.array([0.0, 0.0, one.yaw]))]

    def _taken(self, top: float) -> list[Circle]:
        """What the task has on the table, its target included."""
        model, data, found = self._model, self._data, []
        for geom in self._obstacles:
            centre, radius = data.geom_xpos[geom], float(model.geom_rbound[geom])
            if centre[2] + radius > top - _SHADOW_M:
                found.append(Circle(centre[:2].copy(), radius))
        return found

    def _shape(self, body: int, one: Distractor) -> None:
        # its bounds stay those of the largest shape, which only costs the collision check a few more looks
        model, geom = self._model, int(self._model.body_geomadr[body])
        kinds = self._mujoco.mjtGeom
        x, y, z = one.half_size.tolist()
        kind, size = {
            Shape.BOX: (kinds.mjGEOM_BOX, (x, y, z)),
            Shape.CYLINDER: (kinds.mjGEOM_CYLINDER, (x, z, 0.0)),
            Shape.SPHERE: (kinds.mjGEOM_SPHERE, (x, 0.0, 0.0)),
        }[one.shape]
        model.geom_type[geom], model.geom_size[geom] = int(kind), size
        model.geom_rgba[geom, :3] = one.rgb
        model.body_mass[body], model.body_inertia[body] = one.mass, one.inertia

    def _matrix(self, quaternion: np.ndarray) -> np.ndarray:
        flat = np.empty(9)
        self._mujoco.mju_quat2Mat(flat, quaternion)
        return flat.reshape(3, 3)


_STATISTICS = ("center", "extent", "meaninertia", "meanmass", "meansize")
_LIGHT_PARTS = ("ambient", "diffuse", "specular")


def is_needed(perturbation: Perturbation) -> bool:
    """Whether a reset has anything to change in the model: textures and start positions are changed once."""
    usual = Perturbation()
    parts = ("light", "camera", "dynamics")
    scene = perturbation.scene
    return bool(
        scene.distractors
        or scene.target_range_scale
        or any(getattr(perturbation, part) != getattr(usual, part) for part in parts)
    )


def _arrays(model: mujoco.MjModel) -> list[tuple[str, np.ndarray]]:
    """Every array of a model that a perturbation, or MuJoCo on its behalf, may change."""
    found = [(name, getattr(model, name)) for name in dir(model) if not name.startswith("_")]
    return [(name, value) for name, value in found if isinstance(value, np.ndarray) and name.startswith(_CHANGED)]


# prefixes of arrays; a texture's pixels alone are millions of numbers
_CHANGED = ("actuator_", "body_", "cam_", "dof_", "geom_", "jnt_", "light_", "qpos", "site_", "tendon_")


def _quaternion(turn_rad: np.ndarray) -> np.ndarray:
    """Rotation vector -> quaternion wxyz, float64 (4,)."""
    angle = float(np.linalg.norm(turn_rad))
    if angle == 0.0:
        return np.array([1.0, 0.0, 0.0, 0.0])
    return np.array([np.cos(angle / 2), *(np.sin(angle / 2) * turn_rad / angle)])
