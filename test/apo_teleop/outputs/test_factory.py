"""Which output a configuration names; twists."""

from pathlib import Path

import numpy as np

from apo_core.contract.contract import load_contract
from apo_teleop.outputs.config import OutputConfig
from apo_teleop.outputs.factory import TwistOutput, make_output
from apo_teleop.outputs.joint import JointOutput
from apo_teleop.outputs.pose import PoseOutput

ROOT = Path(__file__).parents[3]
CONTRACT = load_contract(ROOT / "config" / "contract.yaml")  # 20 Hz


def test_a_twist_goes_out_as_it_is():
    values = np.array([0.1, -0.2, 0.3, 1.0, -2.0, 3.0], np.float32)
    out = TwistOutput().command(values, 0)
    assert out.dtype == np.float64
    assert (out.astype(np.float32) == values).all()


def test_each_output_has_its_class():
    assert make_output(OutputConfig(output="none"), CONTRACT) is None
    assert isinstance(make_output(OutputConfig(), CONTRACT), TwistOutput)
    assert isinstance(make_output(OutputConfig(output="pose"), CONTRACT), PoseOutput)
    made = make_output(OutputConfig(output="joint_trajectory", base_link="a", tip_link="b"), CONTRACT)
    assert isinstance(made, JointOutput)
