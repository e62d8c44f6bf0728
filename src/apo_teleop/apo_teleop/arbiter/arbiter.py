"""Decides in every tick who moves the robot: the policy, the operator, or nobody. Pure; time is passed in."""

from __future__ import annotations

import math

import numpy as np

from apo_core.actions import CLOSED, OPEN, TWIST
from apo_core.contract.contract import Contract
from apo_core.errors import ConfigError
from apo_core.types import ControlSource, OperatorEvent
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.latch import Clearance, Latch
from apo_teleop.arbiter.operator_authority import OperatorAuthority, acts
from apo_teleop.arbiter.tracking_monitor import TrackingMonitor
from apo_teleop.arbiter.transitions import next_transition
from apo_teleop.arbiter.types import ArbiterInputs, ControlState, Decision, OperatorInput, Reason
from apo_teleop.arbiter.watchdogs import Found, Watchdogs, is_position
from apo_teleop.motion.shaping import MotionShaper

_DETAIL = 300  # characters; the text of a fault may be of any length
_SOURCES = {ControlState.POLICY: ControlSource.POLICY, ControlState.HUMAN: ControlSource.HUMAN}


class Arbiter:
    """The state table of transitions.py with its memory: who is in control, what is latched.

    Args:
        config: times and rates.
        contract: shapes, rate, age and motion limits.

    Raises:
        ConfigError: HOLD would brake harder than the contract allows, stamps may lie further ahead than its max_age_s,
            or its action is no twist.
    """

    def __init__(self, config: ArbiterConfig, contract: Contract):
        _check_units(contract)
        _check_braking(config, contract)
        _check_tolerance(config, contract)
        self._start_enabled = config.start_enabled
        self._period_s = contract.period_ns * 1e-9
        self._operator = OperatorAuthority(config, contract)
        self._watchdogs = Watchdogs(config, contract)
        self._tracking = TrackingMonitor(config)
        self._shaper = MotionShaper(contract, config.linear_deceleration, config.angular_deceleration)
        self.state = ControlState.IDLE
        self._enabled = config.start_enabled
        self._paused = False  # disabled at some time since the last step
        self._latch = Latch(config)
        self.has_gripped = False  # whether policy or operator has commanded the gripper since this arbiter was made
        self._fresh_after_ns = 0  # a chunk executes only if computed from an observation at or after this
        self._last_mover: ControlSource | None = None
        self._now_ns: int | None = None
        self._steady_ns: int | None = None
        self._adapter_version = 0
        self._observation_ns = 0

    def enable(self, enabled: bool) -> None:
        """Whether anybody may drive; without, the state is IDLE. Nothing from before a pause drives on."""
        self._enabled = enabled
        self._paused |= not enabled

    def clear(self, stop_held: bool | None = None) -> Clearance:
        """Ends a latched fault or emergency stop, unless a publisher keeps requesting a stop.

        Args:
            stop_held: whether one does now; None: as in the last step.
        """
        return self._latch.clear(stop_held)

    def estop(self) -> None:
        """Emergency stop from the next step on, until cleared."""
        self._latch.stop()

    @property
    def estopped(self) -> bool:
        """Whether an emergency stop is requested or latched."""
        return self._latch.estopped

    def hand_back(self) -> bool:
        """The operator gives control back as soon as the device rests; whether there is an operator in control."""
        return self._operator.hand_back()

    def on_gripper(self, value: float) -> None:
        """The gripper was measured, -1 open .. 1 closed: until it is commanded, the nearer end is what it holds."""
        if not self.has_gripped and math.isfinite(value):
            self._shaper.hold_gripper(CLOSED if value > 0 else OPEN)

    def pose_frame_fault(self, frame_id: str) -> str:
        """Why an end-effector pose in this frame must not count; empty if it may."""
        return self._watchdogs.robot_frame_fault(frame_id)

    def on_operator_sample(self, sample: OperatorInput) -> bool:
        """Receives a sample; returns whether it must lead to a command at once instead of at the next tick."""
        self._operator.observe(sample, sample.receive_ns)
        if self._may_drive() and sample.connected and not acts(sample):
            self._operator.rested()
        if OperatorEvent.ESTOP in sample.events:
            return self.state is not ControlState.ESTOP
        if self._operator.in_control:
            return not sample.connected
        return self._may_drive() and not self._operator.motion_rejected and sample.connected and acts(sample)

    def step(self, now_ns: int, inputs: ArbiterInputs) -> Decision:
        """The command of this tick.

        Args:
            now_ns: ROS time of the tick; in lockstep the stamp of its observation.
            inputs: the newest of each; the operator's events are all those since the last step.
        """
        went_back = self._now_ns is not None and now_ns < self._now_ns
        elapsed_s = self._elapsed_s(inputs.steady_ns)
        self._now_ns, self._steady_ns = now_ns, inputs.steady_ns
        self._operator.values = None
        self._operator.observe(inputs.operator, inputs.steady_ns)
        self._latch.update_latch(now_ns, inputs)
        if went_back or self._paused or not self._may_drive():
            self._end_control(now_ns)
        if self._paused or not self._may_drive():
            self._operator.require_rest()
        self._paused = False
        found = self._check_control(went_back, inputs)
        found |= self._watchdogs.pose(now_ns, inputs.steady_ns, inputs.pose)
        found |= self._check_feedback(now_ns, inputs)
        if self._may_drive():
            in_control = self._operator.in_control
            found |= self._operator.evaluate(now_ns, inputs, self._shaper.executed)
            if in_control and not self._operator.in_control:
                self._end_control(now_ns)
        found |= self._watchdogs.policy(now_ns, inputs, self._fresh_after_ns)
        row = next_transition(found)
        if row.target is not None:
            self.state = row.target
        reason = self._latch.follow(row, now_ns)
        if not self._may_drive():
            self._end_control(now_ns)
            self._operator.require_rest()
        if self.state is ControlState.HUMAN:
            self._operator.executed()
        if inputs.pose is not None and is_position(inputs.pose) and Reason.OBSERVATION_INVALID not in found:
            self._shaper.estimate.observe(inputs.pose.position, inputs.pose.stamp_ns, now_ns)
        return self._decide(now_ns, reason, found.get(row.reason, ""), inputs, elapsed_s)

    def last(self, now_ns: int) -> Decision:
        """The safe command to end with: no motion, the gripper as it is. What is latched stays latched."""
        self._end_control(now_ns)
        self._operator.require_rest()
        self._enabled = self._start_enabled
        self.state = ControlState.IDLE
        return Decision(
            values=self._shaper.stop(now_ns),
            source=ControlSource.HOLD,
            state=self.state,
            reason=Reason.DEACTIVATED,
            detail="",
            latched=self._latch.reason is not None,
            takeover=False,
            observation_stamp_ns=self._observation_ns,
            chunk_stamp_ns=0,
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
        return self._enabled and not self._latch.holds

    def _end_control(self, now_ns: int) -> None:
        """Ends an intervention or a stop: chunks of earlier observations are out of date."""
        self._operator.end()
        self._fresh_after_ns = now_ns

    def _check_control(self, went_back: bool, inputs: ArbiterInputs) -> Found:
        found = dict.fromkeys(self._latch.holding(), "")
        if not self._enabled:
            found[Reason.DISABLED] = ""
        if went_back:
            found[Reason.CLOCK_JUMP] = ""
        if inputs.duplicate:
            found[Reason.MULTIPLE_PUBLISHERS] = inputs.duplicate
        if inputs.operator_expected:
            found[Reason.OPERATOR_UNKNOWN] = ""
        if inputs.output_fault:
            found[Reason.OUTPUT_BLOCKED] = inputs.output_fault
        return found

    def _check_feedback(self, now_ns: int, inputs: ArbiterInputs) -> Found:
        found = self._watchdogs.feedback(now_ns, inputs.steady_ns, inputs.feedback)
        if self.state not in _SOURCES:
            self._tracking.reset()
        elif inputs.feedback is not None and not found:
            commanded = [value * inputs.output_share for value in self._shaper.executed[TWIST]]
            behind = self._tracking.check_tracking(commanded, inputs.feedback.twist, inputs.steady_ns)
            if behind:
                return {Reason.ROBOT_NOT_FOLLOWING: behind}
        return found

    def _decide(self, now_ns: int, reason: Reason, detail: str, inputs: ArbiterInputs, elapsed_s: float) -> Decision:
        pose, newest, human = inputs.pose, inputs.policy, self._operator.values
        row = self._watchdogs.policy_row(now_ns, newest, inputs.adapters)
        source = _SOURCES.get(self.state, ControlSource.HOLD)
        if source is ControlSource.HOLD:
            values, clipped = self._shaper.brake(now_ns, elapsed_s)
        else:
            policy = row.values.tolist() if row is not None else None
            wanted = policy if source is ControlSource.POLICY else human
            assert wanted is not None  # no state gives control to a source without an action
            values, clipped = self._shaper.drive(wanted, source, now_ns, elapsed_s)
        takeover = source is ControlSource.HUMAN and self._last_mover is not ControlSource.HUMAN
        self.has_gripped |= source is ControlSource.POLICY or self._operator.has_gripped
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
            detail=detail[:_DETAIL],
            latched=self._latch.reason is not None,
            takeover=takeover,
            observation_stamp_ns=self._observation_ns,
            chunk_stamp_ns=0 if chunk is None or row is None else chunk.observation_stamp_ns,
            policy_values=None if row is None else row.values,
            human_values=None if human is None else np.array(human, np.float32),
            adapter_version=self._adapter_version,
            clipped=clipped,
            policy_tokens=None if row is None else row.tokens,
            operator_stamp_ns=0 if inputs.operator is None else inputs.operator.stamp_ns,
        )


def _check_units(contract: Contract) -> None:
    """Limits, blending and outputs take the first six values for a twist, whatever their names."""
    action = contract.action
    faults = [
        f"action.units of {name} = {unit!r} must be {wanted!r}"
        for name, unit, wanted in zip(action.names, action.units, ("m/s",) * 3 + ("rad/s",) * 3, strict=False)
        if unit != wanted
    ]
    if faults:
        raise ConfigError(contract.source, faults)


def _check_tolerance(config: ArbiterConfig, contract: Contract) -> None:
    if config.future_tolerance_s > contract.max_age_s:
        fault = (
            f"future_tolerance_s = {config.future_tolerance_s} is above max_age_s = {contract.max_age_s} "
            f"({contract.source}): episodes with such stamps are not valid"
        )
        raise ConfigError("config/arbiter.yaml", [fault])


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
