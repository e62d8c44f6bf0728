"""The base of this folder's environments: an arm before a table, objects on it, success as reward."""

from __future__ import annotations

from typing import Any

import numpy as np
from robosuite.environments.manipulation.manipulation_env import ManipulationEnv
from robosuite.models.arenas import TableArena
from robosuite.models.tasks import ManipulationTask
from robosuite.utils.placement_samplers import SequentialCompositeSampler, UniformRandomSampler

TABLE = np.array((0.0, 0.0, 0.8))  # m, middle of the top
_TABLE_SIZE = (0.8, 0.8, 0.05)  # m
# (x, y, z) [m] and quaternion wxyz of a camera that sees more of the table than robosuite's `agentview`
WIDE_VIEW = ((0.753, 0.0, 1.519), (0.643, 0.294, 0.294, 0.643))


class TableEnv(ManipulationEnv):
    """A subclass defines objects, samplers and success.

    Args:
        use_object_obs: taken for robosuite's interface; there are no object observations.
        settings: of ManipulationEnv.
    """

    agentview: tuple[tuple[float, ...], tuple[float, ...]] | None = None  # another pose of the camera

    def __init__(self, use_object_obs: bool = False, **settings: Any):
        self.placement_initializer: SequentialCompositeSampler | None = None
        super().__init__(initialization_noise="default", **settings)

    def make_objects(self) -> list[Any]:
        """The objects, in the order of their placement."""
        raise NotImplementedError

    def make_samplers(self, objects: list[Any]) -> list[UniformRandomSampler]:
        """Where the objects start."""
        raise NotImplementedError

    def sampler(self, objects: Any, x: tuple[float, float], y: tuple[float, float], **rest: Any) -> Any:
        """A sampler of centres in a box around the table's centre; circles around the objects stay apart."""
        name = "_".join(each.name for each in (objects if isinstance(objects, list) else [objects]))
        return UniformRandomSampler(
            name=f"{name}_sampler",
            mujoco_objects=objects,
            x_range=x,
            y_range=y,
            ensure_object_boundary_in_range=False,
            ensure_valid_placement=True,
            reference_pos=TABLE,
            rng=self.rng,
            **rest,
        )

    def reward(self, action: Any = None) -> float:
        """1 on success, else 0."""
        return float(self._check_success())

    def is_grasped(self, item: Any) -> bool:
        """Whether both finger pads touch an object."""
        return bool(self._check_grasp(gripper=self.robots[0].gripper, object_geoms=item))

    def position(self, item: Any) -> np.ndarray:
        """Centre (3,) [m] of an object."""
        return np.array(self.sim.data.body_xpos[self.sim.model.body_name2id(item.root_body)])

    def _load_model(self) -> None:
        super()._load_model()
        robot = self.robots[0].robot_model
        robot.set_base_xpos(robot.base_xpos_offset["table"](_TABLE_SIZE[0]))
        arena = TableArena(table_full_size=_TABLE_SIZE, table_offset=TABLE)
        arena.set_origin([0, 0, 0])
        if self.agentview is not None:
            arena.set_camera("agentview", *self.agentview)
        self.items = self.make_objects()
        self.placement_initializer = SequentialCompositeSampler(name="placement")
        for sampler in self.make_samplers(self.items):
            self.placement_initializer.append_sampler(sampler)
        self.model = ManipulationTask(mujoco_arena=arena, mujoco_robots=[robot], mujoco_objects=self.items)

    def _reset_internal(self) -> None:
        super()._reset_internal()
        if self.deterministic_reset or self.placement_initializer is None:
            return
        for position, quaternion, item in self.placement_initializer.sample().values():
            joint = getattr(item, "free_joint", item.joints[0])
            self.sim.data.set_joint_qpos(joint, np.concatenate([position, quaternion]))

    def _check_success(self) -> bool:
        raise NotImplementedError
