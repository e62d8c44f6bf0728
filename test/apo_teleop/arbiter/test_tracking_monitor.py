"""Whether a robot that stays behind is noticed, and nothing else."""

from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.tracking_monitor import TrackingMonitor

MS = 1_000_000
COMMANDED, SLOW, STILL = [0.1, 0, 0, 0, 0, 0], [0.01, 0, 0, 0, 0, 0], [0.0] * 6


def make(**config):
    return TrackingMonitor(ArbiterConfig(**{"following_s": 0.2, **config}))


def test_it_reports_a_fault_when_the_time_is_over():
    monitor = make()
    assert [monitor.check_tracking(COMMANDED, SLOW, t * MS) for t in (0, 100, 200)] == ["", "", ""]
    assert monitor.check_tracking(COMMANDED, SLOW, 201 * MS) == "commanded 0.100 m/s, measured 0.010"


def test_a_moment_of_following_starts_the_time_again():
    monitor = make()
    monitor.check_tracking(COMMANDED, SLOW, 0)
    monitor.check_tracking(COMMANDED, COMMANDED, 150 * MS)
    assert monitor.check_tracking(COMMANDED, SLOW, 250 * MS) == ""
    assert monitor.check_tracking(COMMANDED, SLOW, 451 * MS) != ""


def test_translation_and_rotation_have_a_time_each():
    monitor = make()
    turning = [0.0, 0, 0, 0, 0, 1.0]
    monitor.check_tracking(COMMANDED, SLOW, 0)
    assert monitor.check_tracking(turning, STILL, 150 * MS) == ""
    assert monitor.check_tracking(turning, STILL, 300 * MS) == ""
    assert monitor.check_tracking(turning, STILL, 351 * MS) == "commanded 1.000 rad/s, measured 0.000"


def test_what_is_forgotten_does_not_count_and_time_may_start_over():
    monitor = make()
    monitor.check_tracking(COMMANDED, SLOW, 0)
    monitor.reset()
    assert monitor.check_tracking(COMMANDED, SLOW, 500 * MS) == ""
    assert monitor.check_tracking(COMMANDED, SLOW, 100 * MS) == ""
    assert monitor.check_tracking(COMMANDED, SLOW, 301 * MS) != ""


def test_it_can_be_switched_off():
    monitor = make(following_s=0.0)
    assert [monitor.check_tracking(COMMANDED, STILL, t * MS) for t in (0, 60_000)] == ["", ""]
