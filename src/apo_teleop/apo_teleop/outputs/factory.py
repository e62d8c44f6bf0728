"""The output that a configuration names."""

from __future__ import annotations

from apo_core.contract.contract import Contract
from apo_teleop.outputs.base import ArmOutput
from apo_teleop.outputs.config import JOINT_OUTPUTS, OutputConfig
from apo_teleop.outputs.joint import JointOutput
from apo_teleop.outputs.pose import PoseOutput
from apo_teleop.outputs.twist import TwistOutput


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
