"""Arms of test/data/urdf: the Franka Panda, and a planar one of three joints."""

from math import pi
from pathlib import Path

import numpy as np

from apo_teleop.outputs.kinematics import Arm

URDF = Path(__file__).parents[1] / "data" / "urdf"
PANDA = (URDF / "panda.urdf").read_text()
JOINTS = tuple(f"panda_joint{i}" for i in range(1, 8))
READY = np.array([0, -pi / 4, 0, -3 * pi / 4, 0, pi / 2, pi / 4])
PLANAR = (URDF / "planar.urdf").read_text()


def panda_arm() -> Arm:
    """From the base to the flange."""
    return Arm(PANDA, "panda_link0", "panda_link8", JOINTS, "panda.urdf")


def planar_arm(*joints: str) -> Arm:
    """Its joints are in the order given."""
    return Arm(PLANAR, "base", "tip", joints or ("shoulder", "elbow", "wrist"), "planar.urdf")
