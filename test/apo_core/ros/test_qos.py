"""Profiles of the kinds of traffic."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from rclpy.qos import ReliabilityPolicy

from apo_core.ros.qos import sensors

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT


@pytest.mark.parametrize(("name", "policy"), [("reliable", RELIABLE), ("best_effort", BEST_EFFORT)])
def test_sensors_have_the_reliability_of_their_name(name, policy):
    assert sensors(name).reliability is policy
