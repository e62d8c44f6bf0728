"""Environments of tasks: of robosuite and of mimicgen, here a stand-in with its interface."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from apo_core.tasks.specs import MIMICGEN_TASKS, TASKS
from apo_sim_bridge.sim.env import SimConfig, SimEnv
from apo_sim_bridge.sim.model_class import model_class

# The package as robosuite 1.5 meets it: it imports the base class of 1.4, passes its arguments, takes no seed, prints
# a failed import, and has the same bodies.
PACKAGE = """
try:
    from robosuite.environments.manipulation.single_arm_env import SingleArmEnv
    from robosuite.models.arenas import TableArena
    from robosuite.models.objects import BoxObject, CompositeBodyObject
    from robosuite.models.tasks import ManipulationTask
    from robosuite.utils.mjcf_utils import new_body
    from robosuite.utils.placement_samplers import UniformRandomSampler

    def free(name):
        return BoxObject(name=name, size=[0.02, 0.02, 0.02])

    def composite(name, *inside):
        boxes = [BoxObject(name=each, size=[0.02, 0.02, 0.02], joints=None) for each in inside]
        places = [[0, 0, 0.05 * i] for i in range(len(boxes))]
        return CompositeBodyObject(name=name, objects=boxes, object_locations=places)

    class Base(SingleArmEnv):
        def __init__(self, robots, controller_configs=None, initialization_noise="default", use_camera_obs=True,
                     use_object_obs=True, has_renderer=False, has_offscreen_renderer=True, control_freq=20,
                     horizon=1000, ignore_done=False, hard_reset=True, renderer="mujoco"):
            self.use_object_obs = use_object_obs
            super().__init__(robots=robots, mount_types="default", controller_configs=controller_configs,
                             initialization_noise=initialization_noise, use_camera_obs=use_camera_obs,
                             has_renderer=has_renderer, has_offscreen_renderer=has_offscreen_renderer,
                             control_freq=control_freq, horizon=horizon, ignore_done=ignore_done,
                             hard_reset=hard_reset, renderer=renderer)

        def reward(self, action=None):
            return 0.0

        def _load_model(self):
            super()._load_model()
            arena = TableArena()
            self.objects = self.make()
            self.placement_initializer = UniformRandomSampler(
                "objects", self.objects, [-0.2, 0.2], [-0.2, 0.2], reference_pos=(0, 0, 0.8)
            )
            robots = [robot.robot_model for robot in self.robots]
            robots[0].set_base_xpos(robots[0].base_xpos_offset["table"](0.8))
            self.model = ManipulationTask(arena, robots, self.objects)

        def _reset_internal(self):
            super()._reset_internal()
            for position, quaternion, item in self.placement_initializer.sample().values():
                self.sim.data.set_joint_qpos(item.joints[0], [*position, *quaternion])

        def _check_success(self):
            return False

    class StackThree_D0(Base):
        def make(self):
            return [free("cubeA"), free("cubeB"), free("cubeC")]

    class ThreePieceAssembly_D0(Base):
        def make(self):
            return [composite("base", "wall"), composite("piece_1", "wall"), composite("piece_2", "wall")]

    class Coffee_D0(Base):
        def make(self):
            return [free("coffee_pod"), composite("coffee_machine", "body", "lid")]

    class Square_D0(Base):
        def make(self):
            return [free("SquareNut")]

        def _load_model(self):
            super()._load_model()
            self.model.worldbody.append(new_body(name="peg1", pos=[0.2, 0.1, 0.9]))
except ImportError as error:
    print(f"WARNING: robosuite environments not imported... Got error: {error}")
"""
RUN = """
import sys
import numpy as np
from apo_core.tasks.specs import task_spec
from apo_sim_bridge.sim.env import SimConfig, SimEnv

for task in sys.argv[1:]:
    with SimEnv(SimConfig(task=task, cameras={})) as env:
        frame = env.reset(3)
        assert tuple(frame.objects) == task_spec(task).objects, frame.objects
        assert env.step(np.array([0, 0, 0.1, 0, 0, 0, -1])).step == 1
        again = env.reset(3)
        assert all(np.array_equal(frame.objects[name], again.objects[name]) for name in frame.objects)
    print(task)
"""


def run(folder: Path, package: str, *tasks: str) -> subprocess.CompletedProcess:
    (folder / "mimicgen.py").write_text(package)
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    command = [sys.executable, "-c", RUN, *tasks]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


def test_models_of_the_table_are_classes():
    for spec in TASKS.values():
        assert isinstance(model_class(spec.model), type)


def test_environments_of_mimicgen_run_by_name(tmp_path):
    done = run(tmp_path, PACKAGE, *MIMICGEN_TASKS)
    assert done.stdout.split() == list(MIMICGEN_TASKS), done.stderr


def test_a_package_without_the_environment_is_reported(tmp_path):
    done = run(tmp_path, "print('WARNING: no module named robosuite_task_zoo')", "mimicgen/Coffee_D0")
    assert "mimicgen has no environment Coffee_D0: WARNING: no module named robosuite_task_zoo" in done.stderr


def test_without_the_package_the_error_names_the_cure():
    with pytest.raises(RuntimeError, match=r"Coffee_D0 needs the package mimicgen: pip install git\+https"):
        SimEnv(SimConfig(task="mimicgen/Coffee_D0", cameras={}))
