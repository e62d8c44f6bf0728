import pytest

from apo_core.config.parameters import build
from apo_core.errors import ConfigError
from apo_teleop.outputs.config import OutputConfig


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"output": "torque"}, "output = 'torque' is not one of"),
        ({"output_stamp": "later"}, "output_stamp = 'later' is not one of"),
        ({"output_topic": ""}, "output_topic = '' must name the topic of output = 'twist'"),
        ({"output_topic": "servo-node/twist"}, "output_topic = 'servo-node/twist' must be a topic's name"),
        ({"gripper_topic": "/gripper/"}, "gripper_topic = '/gripper/' must be a topic's name"),
        ({"robot_description_topic": "2nd"}, "robot_description_topic = '2nd' must be a topic's name"),
        ({"gripper_topic": ""}, "gripper_topic = '' must name"),
        ({"gripper_topic": "cartesian_command"}, "gripper_topic = 'cartesian_command' must differ"),
        ({"gripper_joint": ""}, "gripper_joint = '' must name"),
        ({"gripper_joint": "left,"}, "gripper_joint = 'left,' must name each joint"),
        ({"gripper_closed_m": 0.08}, "gripper_closed_m = 0.08 must differ from gripper_open_m"),
        ({"output": "joint_velocity", "tip_link": "t"}, "base_link = '' must name a link"),
        (
            {"output": "joint_position", "base_link": "b", "tip_link": "t", "robot_description_topic": ""},
            "urdf_file = '' and robot_description_topic = ''",
        ),
        ({"singularity_stop": 0.2}, "singularity_stop = 0.2 must be below singularity_slow = 0.08"),
        ({"joint_speed_share": 1.5}, "joint_speed_share = 1.5 is above its limit 1.0"),
    ],
)
def test_a_wrong_value_is_named_with_its_limit_and_file(values, fault):
    with pytest.raises(ConfigError) as caught:
        build(OutputConfig, values, "config/arbiter.yaml")
    assert caught.value.source == "config/arbiter.yaml"
    assert any(fault in found for found in caught.value.faults)


def test_every_fault_is_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        OutputConfig(output="joint_velocity", output_topic="", gripper_topic="")
    assert len(caught.value.faults) == 4, caught.value.faults


def test_what_is_not_sent_needs_no_topic():
    config = OutputConfig(output="none", output_topic="", gripper_output="none", gripper_topic="")
    assert (config.output, config.gripper_output) == ("none", "none")
