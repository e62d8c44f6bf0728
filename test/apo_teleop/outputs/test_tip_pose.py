import dataclasses
from math import pi

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="MuJoCo is missing: run 'make setup'")

from arm_samples import JOINTS, PANDA, URDF

from apo_core.contract.contract import contract_from_dict
from apo_core.errors import ConfigError, ObservationError
from apo_teleop.outputs.tip_pose import TipPose, TipPoseConfig

SECOND = 1_000_000_000
READY = np.array([0, -pi / 4, 0, -3 * pi / 4, 0, pi / 2, pi / 4])
CONFIG = TipPoseConfig(
    base_link="panda_link0", tip_link="panda_link8", urdf_file=str(URDF / "panda.urdf"), largest_rate_hz=10.0
)


@pytest.fixture
def contract(small_contract):
    data = small_contract.as_dict()
    joints = {"topic": "joint_states", "type": "sensor_msgs/msg/JointState", "field": "position", "unit": "rad"}
    data["state"]["joint_position"] = {**joints, "size": 7, "joints": list(JOINTS)}
    return contract_from_dict(data, "small_contract")


def test_the_tip_is_where_the_kinematics_have_it(contract):
    pose = TipPose(CONFIG, contract).at(READY, 5 * SECOND)
    # flange of the Panda in its ready posture, pointing down
    np.testing.assert_allclose(pose[:3], [0.306891, 0.0, 0.590282], atol=1e-6)
    np.testing.assert_allclose(np.abs(pose[3:]), [0.92388, 0.382683, 0.0, 0.0], atol=1e-5)


def test_poses_come_at_the_limited_rate(contract):
    tip = TipPose(CONFIG, contract)
    stamps = [5 * SECOND, 5 * SECOND + 50_000_000, 5 * SECOND + 100_000_000, 4 * SECOND]
    assert [tip.at(READY, stamp) is not None for stamp in stamps] == [True, False, True, True]


def test_without_a_description_there_is_no_pose(contract):
    tip = TipPose(dataclasses.replace(CONFIG, urdf_file=""), contract)
    with pytest.raises(ObservationError, match="no robot description on robot_description"):
        tip.at(READY, SECOND)
    assert "is not XML" in tip.on_description("<robot")
    with pytest.raises(ObservationError, match="is not XML"):
        tip.at(READY, SECOND)
    assert tip.on_description(PANDA) == ""
    assert tip.at(READY, SECOND) is not None


def test_positions_that_are_not_finite_give_no_pose(contract):
    with pytest.raises(ObservationError, match="not finite"):
        TipPose(CONFIG, contract).at(np.full(7, np.nan), SECOND)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"base_link": ""}, "base_link = '' must name a link"),
        ({"tip_link": "finger"}, "tip_link = 'finger' is not a link"),
        ({"urdf_file": "/nowhere.urdf"}, "urdf_file = '/nowhere.urdf' cannot be read"),
    ],
)
def test_a_wrong_value_is_named(contract, values, fault):
    with pytest.raises(ConfigError) as caught:
        TipPose(dataclasses.replace(CONFIG, **values), contract)
    assert any(fault in found for found in caught.value.faults)


def test_a_contract_without_joints_is_rejected(small_contract):
    with pytest.raises(ConfigError, match=r"state\.joint_position with field: position is missing"):
        TipPose(CONFIG, small_contract)


@pytest.mark.parametrize("topic", ["", "2nd"])
def test_a_description_must_come_from_somewhere(topic):
    with pytest.raises(ConfigError, match="robot_description_topic = "):
        TipPoseConfig(robot_description_topic=topic)
