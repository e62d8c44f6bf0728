"""From wanted to executed: acceleration, step, workspace, braking, and which limit is named."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from apo_core.contract.contract import load_contract
from apo_core.contract.specs import OPTIONAL_LIMITS
from apo_core.types import ControlSource
from apo_teleop.motion.shaping import MotionShaper

POLICY, HUMAN = ControlSource.POLICY, ControlSource.HUMAN
FAST = [0.9, 0, 0, 0, 0, 0, -1]


@pytest.fixture
def make(small_contract):
    """(limits) -> a shaper at 10 Hz that brakes at 2 m/s^2 and 5 rad/s^2."""

    def shaper(**limits):
        action = dataclasses.replace(
            small_contract.action, low=(-1.0,) * 3 + (-9.0,) * 3 + (-1.0,), high=(1.0,) * 3 + (9.0,) * 3 + (1.0,)
        )
        limits = dataclasses.replace(small_contract.limits, **limits)
        return MotionShaper(dataclasses.replace(small_contract, limits=limits, action=action), 2.0, 5.0)

    return shaper


def test_without_limits_every_command_goes_through(make):
    shaper = make()
    values, clipped = shaper.drive(FAST, POLICY, 0, 0.0)
    np.testing.assert_allclose(values, FAST, rtol=1e-6)
    assert values.dtype == np.float32 and clipped == ()
    assert shaper.drive([-v for v in FAST], HUMAN, 0, 0.0)[1] == ()


def test_within_one_source_the_acceleration_bounds_the_change_per_tick(make):
    shaper = make(linear_acceleration=4.0, angular_acceleration=30.0)
    for _ in range(10):
        shaper.drive([0, 0, 0, 0, 0, 0, -1], POLICY, 0, 0.1)
    speeds = [shaper.drive([0.9, 0, 0, 0, 0, 7.0, 1], POLICY, 0, 0.1) for _ in range(3)]
    np.testing.assert_allclose([values[0] for values, _ in speeds], [0.4, 0.8, 0.9], rtol=1e-6)
    np.testing.assert_allclose([values[5] for values, _ in speeds], [3.0, 6.0, 7.0], rtol=1e-6)
    assert [values[6] for values, _ in speeds] == [1, 1, 1]
    both = ("limits.linear_acceleration", "limits.angular_acceleration")
    assert [clipped for _, clipped in speeds] == [both, both, ()]


def test_commands_between_the_ticks_share_what_a_tick_allows(make):
    shaper = make(linear_acceleration=4.0)
    for _ in range(10):
        shaper.drive([0, 0, 0, 0, 0, 0, -1], POLICY, 0, 0.1)
    speeds = [shaper.drive(FAST, POLICY, 0, elapsed_s)[0][0] for elapsed_s in (0.01, 0.01, 0.05, 0.1)]
    np.testing.assert_allclose(speeds, [0.4, 0.44, 0.64, 0.9], rtol=1e-5)


def test_time_that_passed_without_a_command_allows_no_larger_jump(make):
    shaper = make(linear_acceleration=4.0)
    for _ in range(10):
        shaper.drive([0, 0, 0, 0, 0, 0, -1], POLICY, 0, 0.1)
    assert shaper.drive(FAST, POLICY, 0, 5.0)[0][0] == pytest.approx(0.4)


def test_a_takeover_between_two_ticks_moves_at_once(make):
    shaper = make(linear_acceleration=4.0, linear_jerk=80.0)
    for _ in range(10):
        shaper.drive([0, 0, 0, 0, 0, 0, -1], POLICY, 0, 0.1)
    # a change of 0.4 m/s takes 0.1875 s; the first command counts for the whole tick of 0.1 s
    values, clipped = shaper.drive([0, 0.4, 0, 0, 0, 0, -1], HUMAN, 0, 0.001)
    assert values[1] == pytest.approx(0.4 * 0.5623, rel=1e-3)
    assert clipped == ("limits.linear_acceleration",)


def test_the_gripper_does_not_wait_for_the_blend(make):
    shaper = make(linear_acceleration=0.1)
    assert shaper.drive([0.9, 0, 0, 0, 0, 0, 1], HUMAN, 0, 0.1)[0][6] == 1.0


def test_each_dimension_keeps_its_step(make):
    shaper = make(step=(0.02, 0.2, 0.05, 0.1, 0.1, 2.0))
    values, clipped = shaper.drive([0.9, -0.3, -0.8, 2.0, 0.5, 3.0, -1], POLICY, 0, 0.1)
    np.testing.assert_allclose(values, [0.2, -0.3, -0.5, 1.0, 0.5, 3.0, -1], rtol=1e-6)
    assert clipped == ("limits.step.a", "limits.step.c", "limits.step.d")


def test_towards_the_border_it_brakes_in_time(make):
    shaper = make(linear_acceleration=1.0)
    at, speeds = 0.0, []
    for tick in range(60):
        shaper.estimate.observe((at, 0.0, 0.5), tick, tick)
        values, _ = shaper.drive(FAST, POLICY, tick, 0.1)
        at += float(values[0]) * 0.1
        speeds.append(float(values[0]))
    assert max(speeds) > 0.7 and 0.999 < at <= 1.0 + 1e-6
    # along one axis no faster than a third of the square of the limit
    assert np.abs(np.diff(speeds)).max() <= 0.1 + 1e-6
    assert np.diff(speeds).min() >= -0.1 / np.sqrt(3.0) - 1e-6


def test_at_the_border_nothing_leads_out_whatever_the_acceleration(make):
    shaper = make(linear_acceleration=1.0)
    for _ in range(20):
        shaper.drive(FAST, POLICY, 0, 0.1)
    shaper.estimate.observe((1.2, 0.0, 0.5), 0, 0)
    values, clipped = shaper.drive(FAST, POLICY, 0, 0.1)
    assert values[0] == 0.0 and clipped == ("limits.workspace_high.x",)


def test_a_pose_that_grows_old_leads_no_further_out_than_a_fresh_one(make):
    shaper = make(linear_acceleration=100.0)
    shaper.estimate.observe((0.9, 0.0, 0.5), 0, 0)
    travelled = sum(float(shaper.drive(FAST, POLICY, tick * 100_000_000, 0.1)[0][0]) * 0.1 for tick in range(10))
    assert 0.0 < travelled <= 0.1 + 1e-6


def test_it_brakes_at_its_own_rate_and_within_the_acceleration(make):
    shaper = make(linear_acceleration=4.0)
    for _ in range(20):
        shaper.drive(FAST, POLICY, 0, 0.1)
    assert shaper.brake(0, 0.1)[0][0] == pytest.approx(0.7)
    # 0.3 s without a tick would be 0.6 m/s; the acceleration allows 0.4
    values, clipped = shaper.brake(0, 0.3)
    assert values[0] == pytest.approx(0.3) and clipped == ("limits.linear_acceleration",)
    assert shaper.brake(0, 0.3)[0][0] == 0.0


def test_after_braking_the_next_source_starts_from_the_speed_that_is_left(make):
    shaper = make(linear_jerk=10.0)
    shaper.drive(FAST, POLICY, 0, 0.1)
    for _ in range(20):
        shaper.drive(FAST, POLICY, 0, 0.1)
    shaper.brake(0, 0.1)
    first = shaper.drive(FAST, POLICY, 0, 0.1)
    assert 0.7 < first[0][0] < 0.9 and first[1] == ("limits.linear_jerk",)


def test_the_limits_of_the_simulation_change_nothing_that_its_speeds_allow():
    shipped = load_contract(Path(__file__).parents[3] / "config" / "contract.yaml")
    bare = dataclasses.replace(shipped, limits=dataclasses.replace(shipped.limits, **dict.fromkeys(OPTIONAL_LIMITS)))
    rng = np.random.default_rng(0)
    limited, free = MotionShaper(shipped, 8.0, 80.0), MotionShaper(bare, 8.0, 80.0)
    for tick in range(3000):
        kind, position = rng.integers(4), rng.uniform([-0.5, -0.5, 0.8], [0.4, 0.5, 1.5])
        wanted = np.sign(rng.uniform(-1, 1, 7)) * shipped.action.high if kind == 3 else rng.uniform(-1, 1, 7) * 12
        for shaper in (limited, free):
            shaper.estimate.observe(position, tick, tick)
        if kind == 0:
            results = [shaper.brake(tick, 0.05) for shaper in (limited, free)]
        else:
            source = ControlSource.POLICY if kind == 1 else ControlSource.HUMAN
            results = [shaper.drive(wanted, source, tick, 0.05) for shaper in (limited, free)]
        np.testing.assert_array_equal(results[0][0], results[1][0])
        assert results[0][1] == results[1][1]


def test_the_end_stands_still_at_once(make):
    shaper = make(linear_acceleration=0.1)
    for _ in range(20):
        shaper.drive([0.9, 0, 0, 0, 0, 0, 1], POLICY, 0, 0.1)
    assert shaper.stop(0).tolist() == [0, 0, 0, 0, 0, 0, 1]
