"""Decides in every tick who moves the robot: the policy, the operator, or nobody. Pure; time is passed in."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from apo_core.contract import Contract
from apo_core.errors import ConfigError
from apo_core.types import ControlSource
from apo_teleop.arbiter_config import ArbiterConfig
from apo_teleop.arbiter_types import ArbiterInputs, ControlState, Decision, OperatorEvent, OperatorInput
from apo_teleop.following import FollowingMonitor
from apo_teleop.limits import GRIPPER, TWIST
from apo_teleop.shaping import GRIPPER_CLOSED, GRIPPER_OPEN, MotionShaper
from apo_teleop.transitions import Condition, Reason, next_transition
from apo_teleop.watchdogs import Found, Watchdogs, is_position, seconds

_SOURCES = {ControlState.POLICY: ControlSource.POLICY, ControlState.HUMAN: ControlSource.HUMAN}


class Clearance(NamedTuple):
    """The answer to a wish to clear."""

    cleared: str  # what was latched; empty if nothing was, or if it was refused
    refused: str = ""  # why it stays latched


class Arbiter:
    """The state table of transitions.py with its memory: who is in control, what is latched.

    Args:
        config: times and rates.
        contract: shapes, rate, age and motion limits.

    Raises:
        ConfigError: HOLD would brake harder than the contract allows.
    """

    def __init__(self, config: ArbiterConfig, contract: Contract):
        _check_braking(config, contract)
        self._config, self._size = config, contract.action.size
        self._period_s = contract.period_ns * 1e-9
        self._future_ns = round(config.future_tolerance_s * 1e9)
        self._stale_ns = round(config.operator_stale_s * 1e9)
        self._rest_ns = config.hand_back_s * 1e9 if config.hand_back == "rest" else math.inf
        self._watchdogs = Watchdogs(config, contract)
        self._following = FollowingMonitor(config)
        self._shaper = MotionShaper(contract, config.linear_deceleration, config.angular_deceleration)
        self.state = ControlState.IDLE
        self.takeovers = 0
        self._enabled = config.start_enabled
        self._estop_requested = False
        self._estop_held = False  # somebody goes on saying stop
        self._latched: Reason | None = None
        self._in_control = False  # the operator has acted and not handed back
        self._hand_back_requested = False
        self._motion_refused = False  # the operator acts, but may not take control
        self._last_active_ns = 0
        self._fresh_after_ns = 0  # a chunk executes only if computed from an observation at or after this
        self._last_mover: ControlSource | None = None
        self._now_ns: int | None = None
        self._steady_ns: int | None = None
        self._human_gripper = GRIPPER_OPEN
        self._human_values: list[float] | None = None  # the operator's action in this tick
        self._adapter_version = 0
        self._observation_ns = 0

    def enable(self, enabled: bool) -> None:
        """Whether anybody may drive; without, the state is IDLE."""
        self._enabled = enabled

    def clear(self) -> Clearance:
        """Ends a latched fault or emergency stop, unless somebody goes on saying stop."""
        if self._estop_held:
            return Clearance("", "a publisher of the topic estop says stop")
        cleared, self._latched = self._latched, None
        return Clearance(cleared or "")

    def estop(self) -> None:
        """Emergency stop from the next step on, until cleared."""
        self._estop_requested = True

    def hand_back(self) -> bool:
        """The operator gives control back as soon as the device rests; whether there is an operator in control."""
        self._hand_back_requested = self._in_control
        return self._in_control

    def is_urgent(self, sample: OperatorInput) -> bool:
        """Whether a sample must lead to a command at once instead of at the next tick."""
        if OperatorEvent.ESTOP in sample.events:
            return self.state is not ControlState.ESTOP
        if self._in_control:
            return not sample.connected
        return self._may_drive() and not self._motion_refused and sample.connected and _acts(sample)

    def step(self, now_ns: int, inputs: ArbiterInputs) -> Decision:
        """The command of this tick.

        Args:
            now_ns: ROS time of the tick; in lockstep the stamp of its observation.
            inputs: what is known; the operator's events are all those since the last step.
        """
        went_back = self._now_ns is not None and now_ns < self._now_ns
        elapsed_s = self._elapsed_s(inputs.steady_ns)
        self._now_ns, self._steady_ns = now_ns, inputs.steady_ns
        self._human_values = None
        self._heed_stops(inputs)
        if went_back or not self._may_drive():
            self._end_control(now_ns)
        found = self._judge_arbiter(went_back, inputs)
        found |= self._watchdogs.pose(now_ns, inputs.steady_ns, inputs.pose)
        found |= self._judge_feedback(now_ns, inputs)
        if self._may_drive():
            found |= self._judge_operator(now_ns, inputs)
        found |= self._watchdogs.policy(now_ns, inputs, self._fresh_after_ns)
        row = next_transition(found)
        if row.target is not None:
            self.state = row.target
        reason = row.reason or self._latched
        self._latched = reason if row.latches else None
        self._estop_requested = False
        if not self._may_drive():
            self._end_control(now_ns)
        return self._decide(reason, found.get(row.condition, ""), inputs, elapsed_s)

    def last(self, now_ns: int) -> Decision:
        """The safe command to end with: no motion, the gripper as it is. What is latched stays latched."""
        self._end_control(now_ns)
        self._enabled = self._config.start_enabled
        self.state = ControlState.IDLE
        return Decision(
            values=self._shaper.stop(),
            source=ControlSource.HOLD,
            state=self.state,
            reason=Reason.DEACTIVATED,
            detail="",
            latched=self._latched is not None,
            takeover=False,
            observation_stamp=self._observation_ns,
            chunk_stamp=0,
            policy_values=None,
            human_values=None,
            adapter_version=self._adapter_version,
            clipped=(),
        )

    def _elapsed_s(self, steady_ns: int) -> float:
        """Since the last command; a first one, and time that starts over, count as one period."""
        if self._steady_ns is None or steady_ns < self._steady_ns:
            return self._period_s
        return (steady_ns - self._steady_ns) * 1e-9

    def _may_drive(self) -> bool:
        return self._enabled and self._latched is None and not self._estop_requested

    def _end_control(self, now_ns: int) -> None:
        """Ends an intervention or a stop: what the policy thought of before is out of date."""
        self._in_control = self._hand_back_requested = False
        self._fresh_after_ns = now_ns

    def _heed_stops(self, inputs: ArbiterInputs) -> None:
        self._estop_held = inputs.estop
        events = inputs.operator.events if inputs.operator is not None else ()
        if OperatorEvent.CLEAR in events:
            self.clear()
        if inputs.estop or OperatorEvent.ESTOP in events:
            self.estop()

    def _judge_arbiter(self, went_back: bool, inputs: ArbiterInputs) -> Found:
        holds = {
            Condition.ESTOP_REQUESTED: self._estop_requested,
            Condition.LATCHED: self._latched is not None,
            Condition.DISABLED: not self._enabled,
            Condition.CLOCK_WENT_BACK: went_back,
        }
        found = {condition: "" for condition, held in holds.items() if held}
        if inputs.duplicate:
            found[Condition.DUPLICATE_PUBLISHER] = inputs.duplicate
        if inputs.output_fault:
            found[Condition.NO_OUTPUT] = inputs.output_fault
        return found

    def _judge_feedback(self, now_ns: int, inputs: ArbiterInputs) -> Found:
        found = self._watchdogs.feedback(now_ns, inputs.steady_ns, inputs.feedback)
        if self.state not in _SOURCES:
            self._following.forget()
        elif inputs.feedback is not None and not found:
            behind = self._following.judge(self._shaper.executed[TWIST], inputs.feedback.twist, inputs.steady_ns)
            if behind:
                return {Condition.NOT_FOLLOWING: behind}
        return found

    def _judge_operator(self, now_ns: int, inputs: ArbiterInputs) -> Found:
        """What holds of the operator; updates who is in control."""
        sample, found = inputs.operator, {}
        if "operator" in inputs.late:
            found[Condition.OPERATOR_MISSED_DEADLINE] = ""
        connected = sample is not None and sample.connected
        quiet_ns = inputs.steady_ns - sample.receive_ns if sample is not None else 0
        heard = sample is not None and quiet_ns <= self._stale_ns
        if self._in_control and not connected:
            found[Condition.DEVICE_GONE] = ""
        if self._in_control and not heard:
            found[Condition.OPERATOR_QUIET] = seconds(quiet_ns, "silent")
        if not (connected and heard):
            if self._config.operator_required:
                found[Condition.NO_OPERATOR] = ""
            return found
        if _acts(sample):
            found |= self._judge_motion(now_ns, sample)
        self._motion_refused = _acts(sample) and Condition.OPERATOR_ACTS not in found
        if OperatorEvent.HAND_BACK in sample.events:
            self.hand_back()
        if Condition.OPERATOR_ACTS in found:
            self._last_active_ns = inputs.steady_ns
            self._human_values = self._drive(sample)
        elif self._in_control:
            if self._hand_back_requested or inputs.steady_ns - self._last_active_ns >= self._rest_ns:
                self._end_control(now_ns)
            else:
                found[Condition.OPERATOR_RESTS] = ""
                self._human_values = self._rest()
        return found

    def _judge_motion(self, now_ns: int, sample: OperatorInput) -> Found:
        fault = _values_fault(sample, self._size)
        if fault:
            return {Condition.OPERATOR_BROKEN if self._in_control else Condition.NEWCOMER_BROKEN: fault}
        if sample.stamp_ns - now_ns > self._future_ns:
            return {Condition.OPERATOR_AHEAD: seconds(sample.stamp_ns - now_ns, "ahead")}
        if now_ns - sample.stamp_ns > self._stale_ns:
            return {Condition.OPERATOR_BEHIND: seconds(now_ns - sample.stamp_ns, "old")}
        if not self._in_control:
            self._human_gripper = self._shaper.executed[GRIPPER]
        self._in_control, self._hand_back_requested = True, False
        return {Condition.OPERATOR_ACTS: ""}

    def _drive(self, sample: OperatorInput) -> list[float]:
        """The operator's action (A,); a gripper value of 0 leaves the gripper to the toggle button."""
        values = self._rest()
        if sample.active:
            values = sample.values.tolist()
            if values[GRIPPER] != 0.0:
                self._human_gripper = values[GRIPPER]
        if sample.events.count(OperatorEvent.GRIPPER_TOGGLE) % 2:
            self._human_gripper = GRIPPER_OPEN if self._human_gripper > 0 else GRIPPER_CLOSED
        values[GRIPPER] = self._human_gripper
        return values

    def _rest(self) -> list[float]:
        values = list(self._shaper.executed)
        values[TWIST] = [0.0] * 6
        values[GRIPPER] = self._human_gripper
        return values

    def _decide(self, reason: Reason, detail: str, inputs: ArbiterInputs, elapsed_s: float) -> Decision:
        pose, newest = inputs.pose, inputs.policy
        row = self._watchdogs.policy_row(self._now_ns, newest, inputs.adapters)
        position = pose.position if pose is not None and is_position(pose) else None
        source = _SOURCES.get(self.state, ControlSource.HOLD)
        if source is ControlSource.HOLD:
            values, clipped = self._shaper.brake(position, elapsed_s)
        else:
            wanted = row.tolist() if source is ControlSource.POLICY else self._human_values
            values, clipped = self._shaper.drive(wanted, source, position, elapsed_s)
        takeover = source is ControlSource.HUMAN and self._last_mover is not ControlSource.HUMAN
        self.takeovers += takeover
        if source is not ControlSource.HOLD:
            self._last_mover = source
        chunk = newest.chunk if newest is not None else None
        if chunk is not None:
            self._adapter_version = chunk.adapter_version
        if pose is not None:
            self._observation_ns = pose.stamp_ns
        return Decision(
            values=values,
            source=source,
            state=self.state,
            reason=reason,
            detail=detail,
            latched=self._latched is not None,
            takeover=takeover,
            observation_stamp=self._observation_ns,
            chunk_stamp=chunk.observation_stamp_ns if row is not None else 0,
            policy_values=row,
            human_values=None if self._human_values is None else np.array(self._human_values, np.float32),
            adapter_version=self._adapter_version,
            clipped=clipped,
        )


def _check_braking(config: ArbiterConfig, contract: Contract) -> None:
    faults = []
    for name in ("linear", "angular"):
        rate, limit = getattr(config, f"{name}_deceleration"), getattr(contract.limits, f"{name}_acceleration")
        if limit is not None and rate > limit:
            faults.append(
                f"{name}_deceleration = {rate} is above limits.{name}_acceleration = {limit} in {contract.source}"
            )
    if faults:
        raise ConfigError("config/arbiter.yaml", faults)


def _acts(sample: OperatorInput) -> bool:
    return sample.active or OperatorEvent.GRIPPER_TOGGLE in sample.events


def _values_fault(sample: OperatorInput, size: int) -> str:
    if not sample.active:
        return ""
    if sample.values is None or sample.values.shape != (size,):
        got = "none" if sample.values is None else str(sample.values.shape)
        return f"values {got}, the contract says ({size},)"
    return "" if np.isfinite(sample.values).all() else "values are not finite"
