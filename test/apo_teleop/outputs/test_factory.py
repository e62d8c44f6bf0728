from pathlib import Path

from apo_core.contract.contract import load_contract
from apo_teleop.outputs.config import OutputConfig
from apo_teleop.outputs.factory import make_output
from apo_teleop.outputs.joint import JointOutput
from apo_teleop.outputs.pose import PoseOutput
from apo_teleop.outputs.twist import TwistOutput

ROOT = Path(__file__).parents[3]
CONTRACT = load_contract(ROOT / "config" / "contract.yaml")  # 20 Hz


def test_each_output_has_its_class():
    assert make_output(OutputConfig(output="none"), CONTRACT) is None
    assert isinstance(make_output(OutputConfig(), CONTRACT), TwistOutput)
    assert isinstance(make_output(OutputConfig(output="pose"), CONTRACT), PoseOutput)
    made = make_output(OutputConfig(output="joint_trajectory", base_link="a", tip_link="b"), CONTRACT)
    assert isinstance(made, JointOutput)
