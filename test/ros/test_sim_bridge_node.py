"""The simulation bridge as a process over DDS, in lockstep and in real time."""

import importlib.util
import time
from collections.abc import Iterator

import numpy as np
import pytest

# looked for, not imported: an import would take MuJoCo's default GL library for the whole test process
if importlib.util.find_spec("robosuite") is None:
    pytest.skip("robosuite is missing: run 'make setup'", allow_module_level=True)
pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from sim_bridge_cell import HORIZON, PERIOD_NS, WAIT_S, Arm, launch, session

from apo_core.ros.conversions import to_ns


@pytest.fixture(scope="module")
def lockstep(next_domain, meet) -> Iterator[Arm]:
    yield from session(next_domain(), meet, lockstep=True)


@pytest.fixture(scope="module")
def real_time(next_domain, meet) -> Iterator[Arm]:
    yield from session(next_domain(), meet, lockstep=False)


def test_tick_is_complete_and_has_one_stamp(lockstep):
    first = lockstep.start(3)
    messages = lockstep.ticks[first]
    assert lockstep.clock[-1] == first
    assert (messages["agentview/image_raw"].height, messages["agentview/image_raw"].encoding) == (84, "rgb8")
    assert messages["joint_states"].name == [f"robot0_joint{i}" for i in range(1, 8)]
    assert len(messages["joint_states"].position) == len(messages["joint_states"].velocity) == 7
    assert messages["gripper/joint_states"].name == ["gripper_width"]
    assert messages["ee_pose"].header.frame_id == "base"
    assert len(messages["ground_truth/objects"].poses) == 1
    status = messages["task/status"]
    assert (status.seed, status.step, status.running, status.success) == (3, 0, True, False)
    hand, cube = messages["ee_pose"].pose.position, messages["ground_truth/objects"].poses[0].position
    # to the cube, then up to where the expert holds it
    assert status.remaining >= np.linalg.norm([hand.x - cube.x, hand.y - cube.y, hand.z - cube.z]) + 0.92 - cube.z


def test_same_seed_and_commands_give_the_same_bits(lockstep):
    first, second = (lockstep.follow(lockstep.start(11)) for _ in range(2))
    assert len(first) == len(second) == HORIZON + 1
    assert [lockstep.digest(stamp) for stamp in first] == [lockstep.digest(stamp) for stamp in second]
    assert len({lockstep.digest(stamp) for stamp in first}) == HORIZON + 1
    other = lockstep.start(12)
    assert lockstep.digest(other) != lockstep.digest(first[0])


def test_lockstep_is_not_faster_than_its_largest_pace(next_domain, meet):
    sessions = session(next_domain(), meet, lockstep=True, largest_pace=0.5)
    arm = next(sessions)
    before_s = time.monotonic()
    stamps = arm.follow(arm.start(5))
    # a lower limit, which no slow machine can miss: a tick of 50 ms takes 100 ms or more
    assert time.monotonic() - before_s >= 2 * (stamps[-1] - stamps[0]) * 1e-9
    assert len(stamps) == HORIZON + 1
    assert next(sessions, None) is None


def test_a_reset_forgets_an_answer_that_waits_for_its_time(next_domain, meet):
    sessions = session(next_domain(), meet, lockstep=True, largest_pace=0.05)
    arm = next(sessions)
    arm.send(arm.start(5))
    again = arm.start(6)
    arm.send(again)
    arm.steps_on(again)
    assert arm.status(arm.complete()[-1]).step == 1
    assert next(sessions, None) is None


def test_trial_runs_to_its_horizon_and_waits_for_a_reset(lockstep):
    stamps = lockstep.follow(lockstep.start(5))
    assert np.diff(stamps).tolist() == [PERIOD_NS] * HORIZON
    last = lockstep.status(stamps[-1])
    assert (last.step, last.truncated, last.success, last.running) == (HORIZON, True, False, False)
    assert to_ns(last.last_observation_stamp) == stamps[-2]
    lockstep.send(stamps[-1])  # answers the last observation: nothing is executed
    after = lockstep.start(6)
    assert after == stamps[-1] + 1_000_000_000
    assert lockstep.status(after).trial == last.trial + 1
    assert lockstep.complete()[-2:] == [stamps[-1], after]


def test_only_the_answer_to_this_tick_moves_the_simulation(lockstep):
    first = lockstep.start(7)
    for stale in (first - PERIOD_NS, 0, first + PERIOD_NS):
        lockstep.send(stale, [1.0] * 7)
    lockstep.send(first)
    lockstep.spin_until(lambda: lockstep.complete()[-1] > first)
    lockstep.send(first, [1.0] * 7)  # the same tick a second time
    lockstep.send(first + PERIOD_NS)
    lockstep.spin_until(lambda: lockstep.complete()[-1] > first + PERIOD_NS)
    assert [s for s in lockstep.complete() if s >= first] == [first + i * PERIOD_NS for i in range(3)]
    assert [lockstep.status(first + i * PERIOD_NS).step for i in range(3)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("twist", "frame"), [([float("nan")] * 6, "base"), ([2.0, 0, 0, 0, 0, 0], "base"), ([1.0, 0, 0, 0, 0, 0], "world")]
)
def test_unusable_twist_makes_the_arm_stand_still(lockstep, twist, frame):
    first = lockstep.start(7)
    lockstep.send_twist(first, twist, frame)
    lockstep.send_gripper(first, 0.08)
    lockstep.steps_on(first)
    assert lockstep.status(first + PERIOD_NS).step == 1
    before, after = (lockstep.ticks[s]["ee_pose"].pose.position for s in (first, first + PERIOD_NS))
    assert abs(after.x - before.x) < 0.005 and abs(after.z - before.z) < 0.005


def test_unusable_gripper_position_leaves_the_gripper_as_it_was(lockstep):
    def width(stamp_ns: int) -> float:
        return lockstep.ticks[stamp_ns]["gripper/joint_states"].position[0]

    stamp = lockstep.start(7)
    for position, joint in [(0.0, "gripper_width"), (0.5, "gripper_width"), (0.08, "another_joint")]:
        lockstep.send_gripper(stamp, position, joint)
        lockstep.send_twist(stamp)
        lockstep.steps_on(stamp)
        stamp += PERIOD_NS
    assert width(stamp) < width(stamp - PERIOD_NS) < width(stamp - 2 * PERIOD_NS)  # it goes on closing


def test_a_tick_waits_for_arm_and_gripper(lockstep):
    stamp = lockstep.start(7)
    for gripper_first in (True, False):
        sends = [lambda at=stamp: lockstep.send_gripper(at, 0.08), lambda at=stamp: lockstep.send_twist(at)]
        first, second = sends if gripper_first else reversed(sends)
        first()
        # the answer of a service comes after what was sent before it
        assert not lockstep.reset(-1).accepted
        assert lockstep.complete()[-1] == stamp
        second()
        lockstep.steps_on(stamp)
        stamp += PERIOD_NS
    assert lockstep.status(stamp).step == 2


def test_negative_seed_is_rejected(lockstep):
    response = lockstep.reset(-1)
    assert not response.accepted and "seed = -1" in response.message


def test_time_goes_on_between_trials(real_time):
    real_time.spin_until(lambda: len(real_time.complete()) >= 3)
    stamps = real_time.complete()[:3]
    assert np.diff(stamps).tolist() == [PERIOD_NS] * 2
    assert not any(real_time.status(stamp).running for stamp in stamps)
    assert len({real_time.digest(stamp) for stamp in stamps}) == 1


def test_real_time_ticks_without_commands(real_time):
    first = real_time.start(3)
    real_time.spin_until(lambda: not real_time.status(real_time.complete()[-1]).running)
    trial = [real_time.status(s) for s in real_time.complete() if s >= first]
    assert [status.step for status in trial[: HORIZON + 1]] == list(range(HORIZON + 1))
    assert trial[HORIZON].truncated and to_ns(trial[HORIZON].last_observation_stamp) == 0


def test_real_time_executes_the_newest_command(real_time):
    first = real_time.start(3)
    seen = first
    while real_time.status(seen).running:
        real_time.send(seen, [0.0, 0.0, 0.5, 0.0, 0.0, 0.0, -1.0])
        real_time.spin_until(lambda: real_time.complete()[-1] > seen)  # noqa: B023
        seen = real_time.complete()[-1]
    stamps = [s for s in real_time.complete() if s >= first][: HORIZON + 1]
    low, high = (real_time.ticks[s]["ee_pose"].pose.position.z for s in (stamps[0], stamps[-1]))
    assert high - low > 0.03
    assert to_ns(real_time.status(stamps[-1]).last_observation_stamp) >= first


def test_resets_in_real_time_do_not_run_ahead_of_wall_time(real_time):
    for seed in (3, 4, 5):
        stamp = real_time.start(seed)
    assert stamp < time.time_ns() + 1_000_000_000


def test_automatic_trials_take_the_next_seed(next_domain, meet):
    arms = session(next_domain(), meet, lockstep=True, auto_reset=True, auto_reset_delay_s=0.0, seed=20)
    arm = next(arms)
    for seed in (20, 21):
        arm.spin_until(lambda: arm.complete() and arm.status(arm.complete()[-1]).running)
        stamp = arm.complete()[-1]
        assert arm.status(stamp).seed == seed
        arm.follow(stamp)
    assert list(arms) == []


def test_contract_that_does_not_fit_ends_the_process(tmp_path, next_domain):
    contract = tmp_path / "contract.yaml"
    contract.write_text("version: 1\nrate_hz: 20.0\n")
    process = launch(next_domain(), contract_file=contract)
    assert process.wait(WAIT_S) == 2
