import math

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from builtin_interfaces.msg import Time

from apo_policy_node.adapters.reloader import ReloadResult, ReloadState
from apo_policy_node.inference.uncertainty import UNKNOWN, Uncertainty
from apo_policy_node.ros.policy_messages import reloaded_to_msg, uncertainty_to_msg


def test_an_uncertainty_keeps_the_stamp_of_its_observation(contract):
    message = uncertainty_to_msg(Uncertainty(3_000_000_007, -2.5, 1.5, True, 4), contract, 1.25)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (3, 7)
    assert message.header.frame_id == contract.frame_id
    assert (message.log_prob, message.entropy, message.help_entropy) == (-2.5, 1.5, 1.25)
    assert message.help_wanted and message.adapter_version == 4


def test_an_unknown_entropy_stays_unknown(contract):
    assert math.isnan(uncertainty_to_msg(Uncertainty(0, -1.0, UNKNOWN, False, 0), contract, 0.0).entropy)


@pytest.mark.parametrize("state", list(ReloadState))
def test_a_result_is_reported_whole(state):
    message = reloaded_to_msg(ReloadResult(state, 2, 3, "damaged", 12.5, 0.25), Time(sec=9, nanosec=1))
    assert (message.state, message.version, message.requested_version) == (state.value, 2, 3)
    assert (message.reason, message.stage_ms, message.swap_ms) == ("damaged", 12.5, 0.25)
    assert message.header.stamp == Time(sec=9, nanosec=1)
