"""The arm of config/arms/gazebo in MuJoCo, moved by the stiffness and torque limits of its Gazebo plugins."""

import xml.etree.ElementTree as ET

import mujoco
import numpy as np
from arm_chains import GAZEBO

STEP_S = 0.004  # max_step_size of world.sdf


def plugin_values(name: str) -> dict[str, list[float]]:
    """Joint -> values of one parameter of its JointTrajectoryController; `joint_name` orders them."""
    values = {}
    for plugin in ET.parse(GAZEBO / "arm.urdf").getroot().iter("plugin"):
        joints = [element.text for element in plugin.findall("joint_name")]
        values |= dict(zip(joints, (float(element.text) for element in plugin.findall(name)), strict=True))
    return values


def load(**compiler: str) -> mujoco.MjModel:
    """arm.urdf as MuJoCo compiles it; `compiler` are attributes of MuJoCo's compiler."""
    robot = ET.parse(GAZEBO / "arm.urdf").getroot()
    ET.SubElement(ET.SubElement(robot, "mujoco"), "compiler", compiler)
    return mujoco.MjModel.from_xml_string(ET.tostring(robot, encoding="unicode"))


class MujocoArm:
    """Position-controlled joints with damping, without gravity, as Gazebo simulates them."""

    def __init__(self):
        self._model = load()
        self._model.opt.timestep = STEP_S
        self._model.opt.gravity[:] = 0
        self._data = mujoco.MjData(self._model)
        self.joints = [self._model.joint(i).name for i in range(self._model.njnt)]
        gains, limits, starts = map(plugin_values, ("position_p_gain", "position_cmd_max", "initial_position"))
        self._gain, self._limit, self.target = (
            np.array([part[j] for j in self.joints]) for part in (gains, limits, starts)
        )
        self._data.qpos[:] = self.target
        self.largest_torque = np.zeros(len(self.joints))  # share of the limit

    @property
    def positions(self) -> np.ndarray:
        """(n,) rad (m), in the order of `joints`."""
        return self._data.qpos.copy()

    @property
    def velocities(self) -> np.ndarray:
        """(n,) rad/s (m/s)."""
        return self._data.qvel.copy()

    @property
    def time_s(self) -> float:
        """Simulated time."""
        return float(self._data.time)

    def set_targets(self, names: list[str], positions: list[float]) -> None:
        """A point of a joint trajectory; the plugin takes it at once."""
        for name, position in zip(names, positions, strict=True):
            self.target[self.joints.index(name)] = position

    def step(self) -> None:
        """One step of the physics."""
        torque = np.clip(self._gain * (self.target - self._data.qpos), -self._limit, self._limit)
        self.largest_torque = np.maximum(self.largest_torque, np.abs(torque) / self._limit)
        self._data.qfrc_applied[:] = torque
        mujoco.mj_step(self._model, self._data)
