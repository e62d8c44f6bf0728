"""robosuite environments of this package, as robosuite builds them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("robosuite", reason="robosuite is missing: run 'make setup'")


class Stage:
    """One environment: places its objects, and reports where they start."""

    def __init__(self, kind: type):
        self.env = kind(
            robots="Panda",
            has_renderer=False,
            has_offscreen_renderer=False,
            use_camera_obs=False,
            hard_reset=False,
            renderer="mujoco",
            seed=0,
        )
        self.env.reset()

    def reset(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.env.rng = rng
        for sampler in self.env.placement_initializer.samplers.values():
            sampler.rng = rng
        self.env.reset()

    def pose(self, body: str) -> np.ndarray:
        """(7,) m, quaternion wxyz."""
        data, number = self.env.sim.data, self.env.sim.model.body_name2id(body)
        return np.concatenate([data.body_xpos[number], data.body_xquat[number]])

    def put(self, joint: str, *values: float) -> None:
        """Sets a joint: x y z [m] and quaternion wxyz of a free one, an angle [rad] of a hinge."""
        self.env.sim.data.set_joint_qpos(joint, values[0] if len(values) == 1 else np.array(values))

    def settles_to(self, steps: int = 100) -> float:
        """The reward after physics steps with the arm where it is."""
        for _ in range(steps):
            self.env.sim.step()
        self.env.sim.forward()
        return self.env.reward()


@pytest.fixture(scope="module")
def stage() -> Callable[[type], Stage]:
    made: dict[type, Stage] = {}

    def make(kind: type) -> Any:
        if kind not in made:
            made[kind] = Stage(kind)
        made[kind].reset(0)
        return made[kind]

    return make
