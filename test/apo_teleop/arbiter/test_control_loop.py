"""From messages to ticks: real time and lockstep."""

import dataclasses
import math
from pathlib import Path

import numpy as np

from apo_core.contract.contract import load_contract
from apo_core.contract.frames import Header
from apo_core.types import ActionChunk, ControlSource
from apo_teleop.arbiter.arbiter import Arbiter
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.control_loop import ControlLoop
from apo_teleop.arbiter.estop import EstopSignal
from apo_teleop.outputs.config import OutputConfig

CONTRACT = load_contract(Path(__file__).parents[3] / "config" / "contract.yaml")
MS = 1_000_000
PERIOD = 50 * MS
POSITION, UPRIGHT = (0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0)
REST, MOTION = np.zeros(7, np.float32), np.array([0, 0.2, 0, 0, 0, 0, 0], np.float32)


def make(**config):
    settings = ArbiterConfig(**{"start_enabled": True, "operator_search_s": 0.0, **config})
    loop = ControlLoop(Arbiter(settings, CONTRACT), settings, CONTRACT, EstopSignal())
    loop.on_adapter((2,), 0)
    return loop


def chunk(stamp_ns):
    rows = np.tile(np.array([0.1, 0, 0, 0, 0, 0, -1], np.float32), (4, 1))
    return ActionChunk(stamp_ns, PERIOD, rows, np.zeros(4, np.float32), 2)


def operator(loop, stamp_ns, now_ns, active=False, connected=True, events=()):
    values = MOTION if active else REST
    return loop.on_operator(Header(stamp_ns), connected, active, values, events, now_ns, now_ns)


def test_in_real_time_the_timer_ticks_and_inputs_do_not():
    loop = make()
    now = 1000 * MS
    assert loop.on_pose(Header(now), POSITION, UPRIGHT, now) is None
    assert loop.on_chunk(Header(now), chunk(now), "", now) is None
    assert operator(loop, now, now) is None
    assert loop.on_timer(now, now).source is ControlSource.POLICY
    assert (loop.record.ticks, loop.ticks_missed) == (1, 0)


def test_gripper_commands_in_real_time_begin_once_the_policy_has_driven():
    assert make(lockstep=True).moves_gripper
    loop = make()
    now = 1000 * MS
    loop.on_timer(now, now)
    assert not loop.moves_gripper
    loop.on_pose(Header(now + PERIOD), POSITION, UPRIGHT, now + PERIOD)
    loop.on_chunk(Header(now + PERIOD), chunk(now + PERIOD), "", now + PERIOD)
    loop.on_timer(now + PERIOD, now + PERIOD)
    assert loop.moves_gripper


def test_in_real_time_a_takeover_comes_at_once():
    loop = make()
    now = 1000 * MS
    loop.on_pose(Header(now), POSITION, UPRIGHT, now)
    loop.on_chunk(Header(now), chunk(now), "", now)
    loop.on_timer(now, now)
    operator(loop, now, now)
    decision = operator(loop, now + 10 * MS, now + 10 * MS, active=True)
    assert decision.takeover and decision.source is ControlSource.HUMAN
    assert operator(loop, now + 20 * MS, now + 20 * MS, active=True) is None
    assert operator(loop, now + 30 * MS, now + 30 * MS, connected=False).reason == "device_lost"
    assert operator(loop, now + 40 * MS, now + 40 * MS, events=("estop",)).reason == "estop"


def ready(now, **config):
    """A loop whose policy could drive, with no sample of an operator."""
    loop = make(**config)
    loop.on_pose(Header(now), POSITION, UPRIGHT, now)
    loop.on_chunk(Header(now), chunk(now), "", now)
    return loop


def test_after_the_start_the_policy_waits_for_an_operator_to_be_found():
    now = 1000 * MS
    loop = ready(now, operator_search_s=0.1)
    for _ in range(2):
        decision = loop.on_timer(now, now)
        assert (decision.source, decision.reason, decision.latched) == (ControlSource.HOLD, "operator_unknown", False)
        now += PERIOD
    assert loop.on_timer(now, now).source is ControlSource.POLICY


def test_a_sample_of_a_device_at_rest_ends_the_search():
    now = 1000 * MS
    loop = ready(now, operator_search_s=60.0)
    assert loop.on_timer(now, now).reason == "operator_unknown"
    operator(loop, now, now)
    assert loop.on_timer(now + PERIOD, now + PERIOD).source is ControlSource.POLICY


def test_an_operator_who_moves_the_device_is_found_moving():
    now = 1000 * MS
    loop = ready(now, operator_search_s=60.0)
    assert loop.on_timer(now, now).reason == "operator_unknown"
    operator(loop, now, now, active=True)
    assert loop.on_timer(now + PERIOD, now + PERIOD).reason == "operator_not_at_rest"


def test_a_device_that_is_published_is_waited_for():
    now = 1000 * MS
    loop = ready(now)
    loop.on_operator_publishers(1)
    assert loop.on_timer(now, now).reason == "operator_unknown"
    loop.on_operator_publishers(0)
    assert loop.on_timer(now + PERIOD, now + PERIOD).source is ControlSource.POLICY


def test_a_silent_device_stops_the_policy_as_long_as_its_node_publishes():
    now = 1000 * MS
    loop = ready(now, operator_stale_s=0.3, policy_silent_s=10.0)
    loop.on_operator_publishers(1)
    operator(loop, now, now)

    def decide(after_ms):
        later = now + after_ms * MS
        loop.on_pose(Header(later), POSITION, UPRIGHT, later)
        loop.on_chunk(Header(later), chunk(later), "", later)
        return loop.on_timer(later, later)

    assert decide(300).source is ControlSource.POLICY
    decision = decide(350)
    assert (decision.source, decision.reason, decision.latched) == (ControlSource.HOLD, "operator_silent", False)
    assert decision.detail == "0.350 s silent"
    loop.on_operator_publishers(0)  # the node has gone, and its device with it
    assert decide(400).source is ControlSource.POLICY
    loop.on_operator_publishers(1)
    operator(loop, now + 450 * MS, now + 450 * MS)
    assert decide(500).source is ControlSource.POLICY


def test_a_device_that_is_not_connected_may_be_silent():
    now = 1000 * MS
    loop = ready(now, operator_stale_s=0.3, policy_silent_s=10.0)
    loop.on_operator_publishers(1)
    operator(loop, now, now, connected=False)
    later = now + 400 * MS
    loop.on_pose(Header(later), POSITION, UPRIGHT, later)
    loop.on_chunk(Header(later), chunk(later), "", later)
    assert loop.on_timer(later, later).source is ControlSource.POLICY


def test_a_late_timer_counts_missed_ticks():
    loop = make()
    loop.on_timer(0, 0)
    loop.on_timer(150 * MS, 150 * MS)
    assert loop.ticks_missed == 2


def test_in_lockstep_a_tick_waits_for_both_and_is_decided_at_its_stamp():
    loop = make(lockstep=True)
    stamp = 5000 * MS
    assert loop.on_timer(0, 0) is None
    assert loop.on_pose(Header(stamp), POSITION, UPRIGHT, 7) is None
    assert loop.on_chunk(Header(stamp), chunk(stamp), "", 8) is None
    decision = operator(loop, stamp, 9)
    assert (decision.source, decision.observation_stamp_ns) == (ControlSource.POLICY, stamp)
    assert loop.on_timer(10, 10) is None
    assert loop.on_pose(Header(stamp), POSITION, UPRIGHT, 11) is decision


def test_in_lockstep_only_simulated_time_passes():
    loop = make(lockstep=True)
    stamp = 5000 * MS
    for tick in range(3):
        steady = tick * 3600 * 1000 * MS
        loop.on_pose(Header(stamp), POSITION, UPRIGHT, steady)
        loop.on_chunk(Header(stamp), chunk(stamp), "", steady)
        assert operator(loop, stamp, steady).source is ControlSource.POLICY
        stamp += PERIOD
    assert loop.ticks_missed == 0


def test_in_lockstep_the_deadline_holds_and_names_who_is_late():
    loop = make(lockstep=True, lockstep_deadline_s=1.0)
    stamp = 5000 * MS
    loop.on_pose(Header(stamp), POSITION, UPRIGHT, 0)
    operator(loop, stamp, 1)
    assert loop.on_timer(0, 999 * MS) is None
    decision = loop.on_timer(0, 1000 * MS)
    assert (decision.source, decision.reason, loop.ticks_missed) == (ControlSource.HOLD, "policy_late", 1)


def test_two_publishers_hold():
    loop = make()
    loop.on_duplicate("policy/chunk")
    decision = loop.on_timer(0, 0)
    assert (decision.reason, decision.detail) == ("multiple_publishers", "policy/chunk")
    loop.on_duplicate("")
    assert loop.on_timer(PERIOD, PERIOD).reason == "observation_missing"


def test_the_summary_has_ages_counts_and_clips():
    loop = make()
    assert loop.summary(0) == {"state": "no tick yet", "ticks_missed": "0"}
    now = 1000 * MS
    loop.on_pose(Header(now), (0.4, 0.0, 1.0), UPRIGHT, now)
    loop.on_chunk(Header(now), chunk(now), "", now)
    loop.on_timer(now, now)
    summary = loop.summary(now + 20 * MS)
    assert summary["state"] == "POLICY" and summary["reason"] == "policy_in_control"
    assert summary["observation_age_s"] == "0.020" and summary["operator_age_s"] == "never"
    assert summary["clipped limits.workspace_high.x"] == "1"
    assert summary["ticks"] == summary["ticks_policy"] == "1" and summary["takeovers"] == "0"
    assert math.isnan(float(summary["takeover_latency_p50_ms"]))


def test_the_end_is_a_safe_command():
    loop = make()
    decision = loop.stop(0, 0)
    assert decision.reason == "deactivated" and not decision.values[:6].any()
    assert loop.record.ticks == 1


def test_an_emergency_stop_by_topic_comes_at_once_and_only_once():
    loop = make()
    loop.on_timer(0, 0)
    assert loop.on_estop(False, 10 * MS, 10 * MS) is None
    assert loop.on_estop(True, 20 * MS, 20 * MS).reason == "estop"
    assert loop.on_estop(True, 30 * MS, 30 * MS) is None
    assert loop.on_timer(50 * MS, 50 * MS).state == "ESTOP"


def test_in_lockstep_an_emergency_stop_holds_the_next_tick():
    loop = make(lockstep=True)
    stamp = 5000 * MS
    assert loop.on_estop(True, 0, 0) is None
    loop.on_pose(Header(stamp), POSITION, UPRIGHT, 7)
    loop.on_chunk(Header(stamp), chunk(stamp), "", 8)
    assert operator(loop, stamp, 9).reason == "estop"


def test_in_lockstep_a_tick_waits_for_the_announcement_of_its_adapter():
    loop = make(lockstep=True)
    stamp = 5000 * MS
    loop.on_pose(Header(stamp), POSITION, UPRIGHT, 7)
    operator(loop, stamp, 8)
    unknown = dataclasses.replace(chunk(stamp), adapter_version=9)
    assert loop.on_chunk(Header(stamp), unknown, "", 9) is None
    assert loop.on_adapter((4,), 10) is None
    decision = loop.on_adapter((9,), 11)
    assert (decision.source, decision.adapter_version) == (ControlSource.POLICY, 9)
    # what was announced before stays known
    loop.on_pose(Header(stamp + PERIOD), POSITION, UPRIGHT, 12)
    operator(loop, stamp + PERIOD, 13)
    assert loop.on_chunk(Header(stamp + PERIOD), chunk(stamp + PERIOD), "", 14).source is ControlSource.POLICY


def test_in_lockstep_an_unannounced_adapter_holds_at_the_deadline():
    loop = make(lockstep=True, lockstep_deadline_s=1.0)
    stamp = 5000 * MS
    loop.on_pose(Header(stamp), POSITION, UPRIGHT, 0)
    operator(loop, stamp, 1)
    loop.on_chunk(Header(stamp), dataclasses.replace(chunk(stamp), adapter_version=9), "", 2)
    assert loop.on_timer(0, 999 * MS) is None
    assert loop.on_timer(0, 1000 * MS).reason == "adapter_unknown"


def test_in_real_time_an_unknown_adapter_holds_until_it_is_announced():
    loop = make()
    now = 1000 * MS
    loop.on_pose(Header(now), POSITION, UPRIGHT, now)
    loop.on_chunk(Header(now), dataclasses.replace(chunk(now), adapter_version=9), "", now)
    assert loop.on_timer(now, now).reason == "adapter_unknown"
    assert loop.on_adapter((9,), now) is None
    assert loop.on_timer(now + PERIOD, now + PERIOD).source is ControlSource.POLICY


def test_the_age_of_the_feedback_is_reported():
    loop = make()
    loop.on_feedback(Header(1000 * MS), (0.1, 0, 0, 0, 0, 0), 1000 * MS)
    loop.on_timer(1000 * MS, 1000 * MS)
    assert loop.summary(1030 * MS)["feedback_age_s"] == "0.030"


def test_an_output_that_cannot_move_the_robot_holds_until_it_can():
    settings, faults = ArbiterConfig(start_enabled=True, operator_search_s=0.0), ["joint state is 0.200 s old"]
    loop = ControlLoop(
        Arbiter(settings, CONTRACT), settings, CONTRACT, EstopSignal(), lambda clock_ns: faults[0] if faults else ""
    )
    loop.on_adapter((2,), 0)
    now = 1000 * MS
    loop.on_pose(Header(now), POSITION, UPRIGHT, now)
    loop.on_chunk(Header(now), chunk(now), "", now)
    held = loop.on_timer(now, now)
    assert (held.source, held.reason, held.detail) == (ControlSource.HOLD, "output_blocked", faults[0])
    assert not held.latched and not any(held.values[:6])
    faults.clear()
    assert loop.on_timer(now + PERIOD, now + PERIOD).source is ControlSource.POLICY


def test_what_the_output_leaves_of_the_speed_reaches_the_arbiter():
    settings, shares = ArbiterConfig(start_enabled=True), [0.25]
    loop = ControlLoop(Arbiter(settings, CONTRACT), settings, CONTRACT, EstopSignal(), output_share=lambda: shares[0])
    loop.on_timer(1000 * MS, 1000 * MS)
    assert loop.record.inputs.output_share == 0.25


def test_the_output_gets_each_pose_in_a_known_frame():
    settings, poses = ArbiterConfig(robot=OutputConfig(output_frame="panda_link0")), []
    arbiter = Arbiter(settings, CONTRACT)
    loop = ControlLoop(arbiter, settings, CONTRACT, EstopSignal(), output_pose=lambda *pose: poses.append(pose))
    for frame_id in ("", "base", "world", "panda_link0"):
        loop.on_pose(Header(1000 * MS, frame_id), POSITION, UPRIGHT, 1000 * MS)
    assert poses == [(1000 * MS, POSITION, UPRIGHT)] * 3


def test_the_output_is_checked_on_the_clock_of_the_tick():
    settings, clocks = ArbiterConfig(lockstep=True), []
    arbiter = Arbiter(settings, CONTRACT)
    loop = ControlLoop(arbiter, settings, CONTRACT, EstopSignal(), lambda clock_ns: clocks.append(clock_ns) or "")
    loop.on_pose(Header(1000 * MS), POSITION, UPRIGHT, 7)
    loop.on_chunk(Header(1000 * MS), None, "no image", 8)
    operator(loop, 1000 * MS, 9)
    assert clocks == [1000 * MS]
