"""Descriptions of the arms of config/arms as their drivers publish them: the kinematic chain alone, and a start."""

from dataclasses import dataclass
from math import pi
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
GAZEBO = ROOT / "config" / "arms" / "gazebo"
TURN = pi / 2


@dataclass(frozen=True)
class Chain:
    """An arm of joints that turn about their z axis."""

    links: tuple[str, str]  # base and tip
    joints: tuple[str, ...]
    origins: tuple[tuple[tuple[float, float, float], float], ...]  # of each joint, and the tip: x y z [m], roll [rad]
    limits: tuple[tuple[float, float, float], ...]  # of each joint: lower, upper [rad], speed [rad/s]
    start: tuple[float, ...]  # rad, the tip within the workspace
    base_yaw: float = 0.0  # rad, of the first joint
    tip_yaw: float = 0.0  # rad, of the tip

    @property
    def urdf(self) -> str:
        """As on robot_description."""
        base, tip = self.links
        names = [base, *(f"{joint}_link" for joint in self.joints), tip]
        parts = [f'<link name="{name}"/>' for name in names]
        for i, ((x, y, z), roll) in enumerate(self.origins):
            last = i == len(self.joints)
            yaw = self.base_yaw if i == 0 else self.tip_yaw if last else 0.0
            inside = f'<parent link="{names[i]}"/><child link="{names[i + 1]}"/>'
            inside += f'<origin xyz="{x} {y} {z}" rpy="{roll} 0 {yaw}"/>'
            if last:
                parts.append(f'<joint name="tip" type="fixed">{inside}</joint>')
                continue
            low, high, speed = self.limits[i]
            inside += f'<axis xyz="0 0 1"/><limit lower="{low}" upper="{high}" velocity="{speed}" effort="50"/>'
            parts.append(f'<joint name="{self.joints[i]}" type="revolute">{inside}</joint>')
        return f'<robot name="arm">{"".join(parts)}</robot>'


# Craig's parameters of the FER, which the FR3 has too; limits of the FR3:
# https://frankarobotics.github.io/docs/robot_specifications.html; the hand's tip 0.1034 m beyond the flange
FR3 = Chain(
    ("fr3_link0", "fr3_hand_tcp"),
    tuple(f"fr3_joint{i}" for i in range(1, 8)),
    (
        ((0, 0, 0.333), 0),
        ((0, 0, 0), -TURN),
        ((0, -0.316, 0), TURN),
        ((0.0825, 0, 0), TURN),
        ((-0.0825, 0.384, 0), -TURN),
        ((0, 0, 0), TURN),
        ((0.088, 0, 0), TURN),
        ((0, 0, 0.107 + 0.1034), 0),
    ),
    (
        (-2.7437, 2.7437, 2.62),
        (-1.7837, 1.7837, 2.62),
        (-2.9007, 2.9007, 2.62),
        (-3.0421, -0.1518, 2.62),
        (-2.8065, 2.8065, 5.26),
        (0.5445, 4.5169, 4.18),
        (-3.0159, 3.0159, 5.26),
    ),
    (0, -pi / 4, 0, -3 * pi / 4, 0, pi / 2, pi / 4),
    tip_yaw=-pi / 4,
)
# Denavit-Hartenberg parameters d1, a2, a3, d4, d5, d6 of the UR5e (universal-robots.com, article "DH parameters");
# base_link is turned by 180 degrees; limits: Universal_Robots_ROS2_Description, config/ur5e/joint_limits.yaml
UR5E = Chain(
    ("base_link", "tool0"),
    ("shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint", "wrist_1_joint", "wrist_2_joint", "wrist_3_joint"),
    (
        ((0, 0, 0), 0),
        ((0, 0, 0.1625), TURN),
        ((-0.425, 0, 0), 0),
        ((-0.3922, 0, 0), 0),
        ((0, 0, 0.1333), TURN),
        ((0, 0, 0.0997), -TURN),
        ((0, 0, 0.0996), 0),
    ),
    ((-2 * pi, 2 * pi, pi), (-2 * pi, 2 * pi, pi), (-pi, pi, pi), *[(-2 * pi, 2 * pi, pi)] * 3),
    (0, -1.8, 2.0, -1.77, -TURN, 0),
    base_yaw=pi,
)
# xarm_ros2, xarm_description/urdf/xarm7; the gripper's tip 0.172 m beyond the flange
XARM7 = Chain(
    ("link_base", "link_tcp"),
    tuple(f"joint{i}" for i in range(1, 8)),
    (
        ((0, 0, 0.267), 0),
        ((0, 0, 0), -TURN),
        ((0, -0.293, 0), TURN),
        ((0.0525, 0, 0), TURN),
        ((0.0775, -0.3425, 0), TURN),
        ((0, 0, 0), TURN),
        ((0.076, 0.097, 0), -TURN),
        ((0, 0, 0.172), 0),
    ),
    (
        (-2 * pi, 2 * pi, 3.14),
        (-2.059, 2.0944, 3.14),
        (-2 * pi, 2 * pi, 3.14),
        (-0.19198, 3.927, 3.14),
        (-2 * pi, 2 * pi, 3.14),
        (-1.69297, pi, 3.14),
        (-2 * pi, 2 * pi, 3.14),
    ),
    (0, -0.3, 0, 0.9, 0, 1.2, 0),
)
PANDA_JOINTS = tuple(f"panda_joint{i}" for i in range(1, 8))
PANDA_LINKS = ("panda_link0", "panda_hand_tcp")
PANDA_READY = np.array([0, -0.785398, 0, -2.356194, 0, 1.570796, 0.785398])  # initial_position of arm.urdf
