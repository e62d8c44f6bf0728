import time
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from apo_core.ros.conversions import to_ns
from apo_teleop.ros.robot_messages import measured_ns, stamp_of

OBSERVED, NOW = 3_000_000_001, 5_000_000_002


@pytest.mark.parametrize("kind", ["twist", "pose", "joint_trajectory"])
def test_a_command_may_have_the_stamp_of_its_observation(kind):
    assert to_ns(stamp_of("observation", kind, OBSERVED, NOW)) == OBSERVED


@pytest.mark.parametrize(("kind", "stamp"), [("twist", NOW), ("pose", NOW), ("joint_trajectory", 0)])
def test_a_trajectory_that_starts_now_has_the_stamp_zero(kind, stamp):
    assert to_ns(stamp_of("now", kind, OBSERVED, NOW)) == stamp


@pytest.fixture
def node():
    """A node whose ROS time is NOW."""
    now = SimpleNamespace(nanoseconds=NOW)
    return SimpleNamespace(get_clock=lambda: SimpleNamespace(now=lambda: now))


def test_an_old_measurement_that_is_repeated_stays_old(node):
    before = time.monotonic_ns()
    assert 0 <= measured_ns(node, OBSERVED, lockstep=False) - (before - (NOW - OBSERVED)) < 1_000_000_000


def test_a_stamp_ahead_counts_as_now(node):
    before = time.monotonic_ns()
    assert 0 <= measured_ns(node, NOW + 10**12, lockstep=False) - before < 1_000_000_000


def test_in_lockstep_the_stamp_is_the_time(node):
    assert measured_ns(node, OBSERVED, lockstep=True) == OBSERVED
