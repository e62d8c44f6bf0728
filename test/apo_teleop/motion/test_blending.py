"""The minimum-jerk blend: its shape, its length, and that the limits hold along it."""

import numpy as np
import pytest

from apo_core.contract.specs import Limits
from apo_teleop.motion.blending import Blend, blend_duration, minimum_jerk

STILL = [0.0] * 6


def limits(**values):
    return Limits(1.0, 10.0, (-1.0,) * 3, (1.0,) * 3, **values)


def test_the_profile_is_that_of_flash_and_hogan():
    assert [minimum_jerk(t) for t in (-0.1, 0.0, 0.25, 0.5, 0.75, 1.0, 1.1)] == pytest.approx(
        [0.0, 0.0, 0.103515625, 0.5, 0.896484375, 1.0, 1.0]
    )


@pytest.mark.parametrize(
    ("change", "acceleration", "jerk", "duration_s", "by_jerk"),
    [
        (0.8, 3.0, None, 0.5, False),
        (0.8, None, 18.4752, 0.5, True),
        (0.8, 3.0, 18.4752e-2, 5.0, True),
        (0.8, 0.3, 18.4752, 5.0, False),
        (0.0, 3.0, 10.0, 0.0, True),
    ],
)
def test_the_duration_keeps_the_peaks_within_the_limits(change, acceleration, jerk, duration_s, by_jerk):
    assert blend_duration(change, acceleration, jerk) == (pytest.approx(duration_s, rel=1e-5), by_jerk)


def test_without_limits_it_takes_no_time():
    blend = Blend(STILL, limits())
    assert blend.step([1.0, 0, 0, 0, 0, 9.0], 0.0) == ([1.0, 0, 0, 0, 0, 9.0], "")
    assert blend.done


def test_acceleration_and_jerk_stay_below_their_limits_and_reach_them():
    blend = Blend([0.5, 0, 0, 0, 0, 0], limits(linear_acceleration=2.0, linear_jerk=25.0))
    dt_s, speeds = 1e-4, [0.5]
    while not blend.done:
        twist, _ = blend.step([-0.25, 0, 0, 0, 0, 0], dt_s)
        speeds.append(twist[0])
    acceleration = np.abs(np.diff(speeds)) / dt_s
    jerk = np.abs(np.diff(acceleration)) / dt_s
    assert acceleration.max() == pytest.approx(2.0, rel=1e-3)
    assert jerk.max() <= 25.0
    assert speeds[-1] == -0.25 and (len(speeds) - 1) * dt_s == pytest.approx(0.703, abs=1e-3)


def test_the_slower_of_translation_and_rotation_sets_the_time_of_both():
    blend = Blend(STILL, limits(linear_acceleration=1.875, angular_acceleration=1.875))
    twist, cause = blend.step([0.1, 0, 0, 0, 0, 1.0], 0.5)
    assert twist == pytest.approx([0.05, 0, 0, 0, 0, 0.5])
    assert cause == "limits.angular_acceleration"


def test_a_target_that_moves_away_makes_it_longer_not_faster():
    blend = Blend(STILL, limits(linear_acceleration=1.875))
    blend.step([0.1, 0, 0, 0, 0, 0], 0.05)
    twist, _ = blend.step([1.0, 0, 0, 0, 0, 0], 0.05)
    # half of the first way of 0.1 s, then a twentieth of that of 1 s
    assert twist[0] == pytest.approx(minimum_jerk(0.55))
    blend.step([1.0, 0, 0, 0, 0, 0], 0.44)
    assert not blend.done
    assert blend.step([1.0, 0, 0, 0, 0, 0], 0.02) == ([1.0, 0, 0, 0, 0, 0], "")
    assert blend.done
