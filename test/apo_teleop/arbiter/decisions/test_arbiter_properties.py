"""No sequence of inputs, times and faults breaks what the arbiter promises."""

import dataclasses
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apo_core.contract.contract import load_contract
from apo_core.contract.frames import Header
from apo_core.contract.specs import FeedbackSpec
from apo_core.types import ActionChunk, ControlSource
from apo_teleop.arbiter.arbiter import Arbiter
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.control_loop import ControlLoop
from apo_teleop.arbiter.estop import EstopSignal
from apo_teleop.arbiter.transitions import TRANSITIONS
from apo_teleop.arbiter.types import ArbiterInputs, ControlState, FeedbackInput, OperatorInput, PolicyInput, PoseInput

PUBLISHED = {row.published for row in TRANSITIONS} - {None}
SHIPPED = load_contract(Path(__file__).parents[4] / "config" / "contract.yaml")
# limits of a real arm: every one of them takes part
CONTRACT = dataclasses.replace(
    SHIPPED,
    feedback=FeedbackSpec("ee_twist", "geometry_msgs/msg/TwistStamped"),
    limits=dataclasses.replace(
        SHIPPED.limits,
        linear_acceleration=8.0,
        angular_acceleration=80.0,
        linear_jerk=60.0,
        angular_jerk=600.0,
        step=(0.04, 0.04, 0.03, 0.4, 0.4, 0.5),
    ),
)
LIMITS, ACTION = CONTRACT.limits, CONTRACT.action
PERIOD_S = 1 / CONTRACT.rate_hz
MS = 1_000_000
START = 10_000 * MS
HAND_BACK_MS = 500

number = st.one_of(st.floats(-3, 3), st.floats(allow_nan=True, allow_infinity=True, width=32))
vector = st.one_of(st.lists(number, min_size=7, max_size=7), st.lists(number, max_size=9))
age_ms = st.one_of(st.integers(0, 60), st.integers(-2000, 2000))
policy = st.one_of(
    st.none(),
    st.tuples(st.just("fault"), age_ms),
    st.tuples(st.lists(vector, max_size=5), age_ms, st.integers(0, 800), st.sampled_from([PERIOD_S, 0.1])),
)
operator = st.one_of(
    st.none(),
    st.tuples(
        st.booleans(),
        st.booleans(),
        vector,
        age_ms,
        st.integers(0, 600),
        st.lists(st.sampled_from(["gripper_toggle", "hand_back", "estop", "clear", "success"]), max_size=2),
    ),
)
feedback = st.one_of(st.none(), st.tuples(vector, age_ms, st.integers(0, 800)))
pose = st.one_of(st.none(), st.tuples(st.lists(st.floats(-2, 2), min_size=3, max_size=3), age_ms, st.integers(0, 800)))
tick = st.tuples(
    st.one_of(st.just(50), st.integers(-500, 1500)),  # ms of ROS time since the last tick
    st.one_of(st.just(50), st.integers(0, 1500)),  # ms of steady time since the last tick
    policy,
    operator,
    pose,
    st.one_of(st.just(([0.0] * 6, 0, 0)), feedback),
    st.sampled_from([1, 1, 1, 2]),  # adapter of the chunk; 1 is announced
    st.sampled_from([False, False, False, True]),  # the emergency stop topic
    st.sampled_from(["", "", "", "operator/command"]),
    st.sampled_from([(), (), (), ("policy",), ("operator",)]),
    st.sampled_from(["", "", "", "enable", "disable", "clear", "estop"]),
)


def to_inputs(now, steady, policy, operator, pose, feedback, adapter, estop, duplicate, late) -> ArbiterInputs:
    chunk = sample = view = motion = None
    if policy is not None and policy[0] == "fault":
        chunk = PolicyInput(None, "fault", steady - policy[1] * MS)
    elif policy is not None:
        rows, age, silence, period_s = policy
        width = len(rows[0]) if rows else 7
        values = np.array([np.resize(row or [0.0], width) for row in rows], np.float32)
        values = values.reshape(len(rows), width)
        stamp = now - age * MS
        chunk = PolicyInput(
            ActionChunk(stamp, round(period_s * 1e9), values, np.zeros(len(rows), np.float32), adapter),
            "",
            steady - silence * MS,
        )
    if operator is not None:
        connected, active, values, age, silence, events = operator
        sample = OperatorInput(
            now - age * MS, steady - silence * MS, connected, active, np.array(values, np.float32), tuple(events)
        )
    if pose is not None:
        position, age, silence = pose
        view = PoseInput(now - age * MS, steady - silence * MS, tuple(position))
    if feedback is not None:
        twist, age, silence = feedback
        motion = FeedbackInput(now - age * MS, steady - silence * MS, tuple(twist))
    return ArbiterInputs(steady, chunk, sample, view, motion, frozenset({1}), estop, duplicate, late)


class LimitsWatch:
    """Holds every command against the limits and against the command before."""

    def __init__(self):
        self.before = [0.0] * 7
        self.newest_ns = self.now_ns = 0

    def is_newest(self, pose, now_ns: int) -> bool:
        """Whether a pose is finite and not taken before another one that was; time that goes back forgets them."""
        if now_ns < self.now_ns:
            self.newest_ns = 0
        self.now_ns = now_ns
        if pose is None or not all(map(math.isfinite, pose.position)):
            return False
        stamp_ns = min(pose.stamp_ns, now_ns)
        newest, self.newest_ns = stamp_ns >= self.newest_ns, max(stamp_ns, self.newest_ns)
        return newest

    def check(self, decision, position):
        assert decision.values.shape == (7,) and decision.values.dtype == np.float32
        values = decision.values.tolist()
        assert all(map(math.isfinite, values))
        assert all(low - 1e-6 <= v <= high + 1e-6 for v, low, high in zip(values, ACTION.low, ACTION.high, strict=True))
        assert all(abs(v) * PERIOD_S <= step + 1e-6 for v, step in zip(values[:6], LIMITS.step, strict=True))
        assert math.hypot(*values[:3]) <= LIMITS.linear_speed * (1 + 1e-6)
        assert math.hypot(*values[3:6]) <= LIMITS.angular_speed * (1 + 1e-6)
        change = [now - before for now, before in zip(values[:6], self.before[:6], strict=True)]
        at_border = any(name.startswith("limits.workspace") for name in decision.clipped)
        for i in range(3):
            if position is not None:
                reached = position[i] + values[i] * PERIOD_S
                assert reached <= max(LIMITS.workspace_high[i], position[i]) + 1e-6
                assert reached >= min(LIMITS.workspace_low[i], position[i]) - 1e-6
            # only the border of the workspace may stop it sooner, and it does no more than slow down
            if at_border and abs(values[i]) < abs(self.before[i]):
                change[i] = 0.0
        assert math.hypot(*change[:3]) <= LIMITS.linear_acceleration * PERIOD_S * (1 + 1e-5)
        assert math.hypot(*change[3:]) <= LIMITS.angular_acceleration * PERIOD_S * (1 + 1e-5)
        self.before = values


def is_motion(operator) -> bool:
    """A sample that must put the operator in control."""
    connected, active, values, age, silence, events = operator
    acts = active or "gripper_toggle" in events
    sound = not active or (len(values) == 7 and all(np.isfinite(np.array(values, np.float32))))
    return connected and acts and sound and silence <= 300 and -100 <= age <= 300


@settings(max_examples=150, derandomize=True)
@given(st.lists(tick, max_size=25))
def test_every_command_is_within_limits_and_never_overrides_the_operator(ticks):
    arbiter = Arbiter(ArbiterConfig(start_enabled=True), CONTRACT)
    now = steady = START
    enabled, stopped, held, last_motion, hand_back = True, False, False, None, False
    stopped_at = START
    watch = LimitsWatch()
    for index, (ros_ms, steady_ms, policy, operator, pose, *rest, service) in enumerate(ticks):
        now, steady = now + ros_ms * MS, steady + steady_ms * MS
        if service in ("enable", "disable"):
            enabled = service == "enable"
            arbiter.enable(enabled)
        if service == "clear":
            rejected = arbiter.clear().rejected
            assert bool(rejected) == held
            stopped = stopped and held
        if service == "estop":
            arbiter.estop()
        inputs = to_inputs(now, steady, policy, operator, pose, *rest)
        decision = arbiter.step(now, inputs)

        watch.check(decision, inputs.pose.position if watch.is_newest(inputs.pose, now) else None)
        assert decision.reason in PUBLISHED
        assert (decision.source is ControlSource.POLICY) == (decision.state is ControlState.POLICY)
        assert (decision.source is ControlSource.HUMAN) == (decision.state is ControlState.HUMAN)

        events = operator[5] if operator is not None else []
        held = inputs.estop
        stopped_at = min(stopped_at, now)  # time that starts over must not keep the button from clearing
        cleared = "clear" in events and -100 <= operator[3] <= 300 and not inputs.duplicate
        if stopped and cleared and now - operator[3] * MS >= stopped_at:
            stopped = False
        if held or service == "estop" or "estop" in events:
            stopped_at = stopped_at if stopped and not held else now
            stopped = True
        if stopped:
            assert decision.state is ControlState.ESTOP
            last_motion = None
        elif not enabled or decision.latched or (ros_ms < 0 and index > 0):
            assert decision.source is ControlSource.HOLD
            last_motion = None
        elif operator is not None and is_motion(operator):
            assert decision.source is not ControlSource.POLICY
            # a button pressed while moving hands back at the first rest
            hand_back = (hand_back and last_motion is not None) or "hand_back" in events
            last_motion = None if decision.reason == "operator_not_at_rest" else steady
        elif last_motion is not None:
            hand_back = hand_back or "hand_back" in events
            if not hand_back and steady - last_motion < HAND_BACK_MS * MS:
                assert decision.source is not ControlSource.POLICY
        if decision.source is ControlSource.POLICY:
            last_motion = None
            chunk = inputs.policy.chunk
            assert chunk.adapter_version == 1 and np.all(np.isfinite(chunk.values))
            assert -100 * MS <= now - chunk.observation_stamp_ns <= CONTRACT.max_age_s * 1e9
            assert decision.chunk_stamp_ns == chunk.observation_stamp_ns
        assert (decision.policy_values is None) == (decision.chunk_stamp_ns == 0)


class FaultySession:
    """Messages of a healthy robot, policy and operator for a ControlLoop, and faults drawn at random."""

    def __init__(self, seed: int, lockstep: bool):
        self.random = random.Random(seed)
        self.config = ArbiterConfig(
            start_enabled=self.random.random() < 0.95,
            lockstep=lockstep,
            operator_required=self.random.random() < 0.2,
            hand_back=self.random.choice(("rest", "button")),
            hand_back_s=0.1,
            following_s=0.1,
            policy_silent_s=0.2,
        )
        self.arbiter = Arbiter(self.config, CONTRACT)
        self.loop = ControlLoop(self.arbiter, self.config, CONTRACT, EstopSignal(), self.output_fault)
        self.now = self.steady = START
        self.rows = np.zeros((4, 7), np.float32)
        self.loop.on_adapter((1,), self.steady)
        self.driving = self.is_silent = False  # the operator
        self.executed = np.zeros(7)
        self.decided: list = []  # (decision, its inputs) of the tick

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def stamp(self) -> int:
        """Now, or what a wrong clock or a slow network makes of it."""
        return self.now + (self.random.choice((-2000, -700, -320, 150, 3000)) * MS if self.chance(0.02) else 0)

    def output_fault(self, clock_ns: int) -> str:
        return "no joint state" if self.chance(0.01) else ""

    def note(self, decision) -> None:
        """Keeps a decision with what the arbiter knew."""
        if decision is not None:
            self.decided.append((decision, self.loop.record.inputs))
            self.executed = decision.values.astype(np.float64)

    def tick(self) -> None:
        """One control tick of messages."""
        self.decided, self.observed = [], False
        period = CONTRACT.period_ns
        jump = self.random.choice((-1000, 900, 4000)) * MS if self.chance(0.01) else 0
        self.now, self.steady = self.now + period + jump, self.steady + period + max(0, jump)
        loop = self.loop
        if self.chance(0.03):
            self.arbiter.enable(not self.chance(0.3))
        if self.chance(0.1):
            self.arbiter.clear()
        if self.chance(0.01):
            self.arbiter.estop()
        if self.chance(0.02):
            self.note(loop.on_estop(self.chance(0.5), self.now, self.steady))
        loop.on_duplicate("ee_pose" if self.chance(0.02) else "")
        if self.chance(0.1):
            loop.on_operator_publishers(self.random.randint(0, 1))
        if not self.chance(0.04):
            self.measure()
        if not self.chance(0.04):
            self.observed = True
            self.note(self.observe())
        if not self.chance(0.05):
            self.note(self.answer())
        self.is_silent ^= self.chance(0.05)
        if not self.is_silent:
            self.note(self.operate())
        wait_ns = 0 if not self.config.lockstep else round(self.config.lockstep_deadline_s * 1e9)
        self.note(loop.on_timer(self.now, self.steady + wait_ns))

    def measure(self) -> None:
        twist = self.executed[:6] * (0.0 if self.chance(0.3) else 1.0)
        if self.chance(0.02):
            twist = twist + self.random.choice((math.nan, math.inf))
        self.loop.on_feedback(Header(self.stamp()), twist.tolist(), self.steady)

    def observe(self):
        position = [self.random.uniform(-0.6, 0.6), self.random.uniform(-0.6, 0.6), self.random.uniform(0.7, 1.6)]
        if self.chance(0.02):
            position[1] = math.nan
        return self.loop.on_pose(Header(self.stamp()), position, (0.0, 0.0, 0.0, 1.0), self.steady)

    def answer(self):
        if self.chance(0.03):
            fault = self.random.choice(("the camera is dark", "frozen content: topic front/image_raw"))
            return self.loop.on_chunk(Header(self.now), None, fault, self.steady)
        rows = np.array([[self.random.uniform(-2, 2) for _ in range(7)] for _ in range(2)], np.float32)
        if self.chance(0.03):
            rows[self.random.randrange(2), self.random.randrange(7)] = self.random.choice((math.nan, math.inf))
        if self.chance(0.02):
            rows = rows[:, :6]
        stamp = self.now - self.random.choice((120, 320)) * MS if self.chance(0.05) else self.stamp()
        version = 2 if self.chance(0.02) else 1
        chunk = ActionChunk(stamp, CONTRACT.period_ns, rows, np.zeros(len(rows), np.float32), version)
        return self.loop.on_chunk(Header(self.now), chunk, "", self.steady)

    def operate(self):
        if self.chance(0.15):
            self.driving = not self.driving
        values = np.array([self.random.uniform(-2, 2) for _ in range(7)], np.float32)
        if self.chance(0.02):
            values = self.random.choice((values[:3], values * math.inf, values * math.nan))
        events = ("gripper_toggle", "hand_back", "estop", "clear")
        pressed = tuple(self.random.choices(events, (2, 2, 1, 4))) if self.chance(0.1) else ()
        connected = not self.chance(0.02)
        stamp = self.now if self.config.lockstep and not self.chance(0.05) else self.stamp()
        return self.loop.on_operator(Header(stamp), connected, self.driving, values, pressed, self.now, self.steady)


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_ten_thousand_faulty_sessions_keep_limits_and_reach_every_reason():
    reasons, clips = set(), set()
    for seed in range(10_000):
        lockstep = seed % 2 == 1
        session, watch = FaultySession(seed, lockstep), LimitsWatch()
        for _ in range(8):
            session.tick()
            assert session.decided or (lockstep and not session.observed), "a tick without a command"
            for decision, inputs in session.decided:
                pose = inputs.pose
                watch.check(decision, pose.position if watch.is_newest(pose, session.now) else None)
                assert not inputs.estop or decision.state is ControlState.ESTOP
                if decision.source is ControlSource.POLICY:
                    assert inputs.policy.chunk.adapter_version == 1 and np.isfinite(inputs.policy.chunk.values).all()
                reasons.add(decision.reason)
                clips.update(decision.clipped)
    assert reasons == PUBLISHED
    assert {name.rpartition(".")[0] if name.count(".") > 1 else name for name in clips} >= {
        "limits.linear_speed",
        "limits.angular_acceleration",
        "limits.linear_acceleration",
        "limits.linear_jerk",
        "limits.step",
        "limits.workspace_high",
        "limits.workspace_low",
    }
