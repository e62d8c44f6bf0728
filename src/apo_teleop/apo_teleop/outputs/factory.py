"""What the robot is sent for each command of the arbiter: a twist, a pose, or joint motion. Pure."""

from __future__ import annotations

import numpy as np

from apo_core.contract.contract import Contract
from apo_teleop.outputs.base import ArmOutput
from apo_teleop.outputs.config import JOINT_OUTPUTS, OutputConfig
from apo_teleop.outputs.joint import JointOutput
from apo_teleop.outputs.pose import PoseOutput


class TwistOutput(ArmOutput):
    """The command itself: (6,) float64, m/s and rad/s."""

    def command(self, twist: np.ndarray, now_ns: int) -> np.ndarray:
        """See ArmOutput."""
        return np.asarray(twist, np.float64)


def make_output(config: OutputConfig, contract: Contract) -> ArmOutput | None:
    """The output that `config.output` names; None for `none`.

    Raises:
        ConfigError: see JointOutput.
    """
    if config.output == "none":
        return None
    if config.output in JOINT_OUTPUTS:
        return JointOutput(config, contract)
    return PoseOutput(config, contract) if config.output == "pose" else TwistOutput()
