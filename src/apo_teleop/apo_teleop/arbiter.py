"""Decides in every tick who moves the robot: the policy, the operator, or nobody. Pure; time is passed in."""

from __future__ import annotations

import numpy as np

from apo_core.contract import Contract
from apo_core.types import ActionChunk, ControlSource
from apo_teleop.arbiter_config import ArbiterConfig
from apo_teleop.arbiter_types import (
    ArbiterInputs,
    ControlState,
    Decision,
    OperatorEvent,
    OperatorInput,
    PolicyInput,
    PoseInput,
)
from apo_teleop.limits import GRIPPER, TWIST, MotionLimits, decelerate
from apo_teleop.transitions import Condition, Reason, next_transition

_OPEN, _CLOSED = -1.0, 1.0
_PERIOD_TOLERANCE = 0.01  # share of the contract's period
_SOURCES = {ControlState.POLICY: ControlSource.POLICY, ControlState.HUMAN: ControlSource.HUMAN}


class Arbiter:
    """The state table of transitions.py with its memory: who is in control, what is latched, what moved last.

    Args:
        config: times and rates.
        contract: shapes, rate, age and motion limits.
    """

    def __init__(self, config: ArbiterConfig, contract: Contract):
        self._config, self._contract = config, contract
        self._limits = MotionLimits(contract)
        self._size = contract.action.size
        self._max_age_ns = round(contract.max_age_s * 1e9)
        self._future_ns = round(config.future_tolerance_s * 1e9)
        self._stale_ns = round(config.operator_stale_s * 1e9)
        self.state = ControlState.IDLE
        self.takeovers = 0
        self._enabled = config.start_enabled
        self._estop_requested = False
        self._latched: Reason | None = None
        self._in_control = False  # the operator has acted and not handed back
        self._hand_back_requested = False
        self._motion_refused = False  # the operator acts, but may not take control
        self._last_active_ns = 0
        self._fresh_after_ns = 0  # a chunk executes only if computed from an observation at or after this
        self._last_mover: ControlSource | None = None
        self._now_ns: int | None = None
        self._steady_ns: int | None = None
        self._executed = np.zeros(self._size)
        self._executed[GRIPPER] = _OPEN
        self._human_gripper = _OPEN
        self._human_values: np.ndarray | None = None  # the operator's action in this tick
        self._adapter_version = 0
        self._observation_ns = 0

    def enable(self, enabled: bool) -> None:
        """Whether anybody may drive; without, the state is IDLE."""
        self._enabled = enabled

    def clear(self) -> str:
        """Ends a latched fault or emergency stop; returns what was cleared, empty if nothing was."""
        cleared, self._latched = self._latched, None
        return cleared or ""

    def estop(self) -> None:
        """Emergency stop from the next step on, until cleared."""
        self._estop_requested = True

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
        dt_s = 0.0 if self._steady_ns is None else max(0, inputs.steady_ns - self._steady_ns) * 1e-9
        self._now_ns, self._steady_ns = now_ns, inputs.steady_ns
        self._human_values = None
        self._heed_buttons(inputs.operator)
        if went_back or not self._may_drive():
            self._end_control(now_ns)
        conditions = self._judge_arbiter(went_back, inputs.duplicate)
        conditions |= self._judge_pose(now_ns, inputs)
        if self._may_drive():
            conditions |= self._judge_operator(now_ns, inputs)
        conditions |= self._judge_policy(now_ns, inputs)
        row = next_transition(conditions)
        if row.target is not None:
            self.state = row.target
        reason = row.reason or self._latched
        self._latched = reason if row.latches else None
        self._estop_requested = False
        if not self._may_drive():
            self._end_control(now_ns)
        return self._decide(reason, conditions.get(row.condition, ""), inputs, dt_s)

    def last(self, now_ns: int) -> Decision:
        """The safe command to end with: no motion, the gripper as it is. What is latched stays latched."""
        self._end_control(now_ns)
        self._enabled = self._config.start_enabled
        self.state = ControlState.IDLE
        self._executed[TWIST] = 0.0
        return Decision(
            values=self._executed.astype(np.float32),
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

    def _may_drive(self) -> bool:
        return self._enabled and self._latched is None and not self._estop_requested

    def _end_control(self, now_ns: int) -> None:
        """Ends an intervention or a stop: what the policy thought of before is out of date."""
        self._in_control = self._hand_back_requested = False
        self._fresh_after_ns = now_ns

    def _heed_buttons(self, sample: OperatorInput | None) -> None:
        if sample is None:
            return
        if OperatorEvent.CLEAR in sample.events:
            self.clear()
        if OperatorEvent.ESTOP in sample.events:
            self.estop()

    def _judge_arbiter(self, went_back: bool, duplicate: str) -> dict[Condition, str]:
        holds = {
            Condition.ESTOP_REQUESTED: self._estop_requested,
            Condition.LATCHED: self._latched is not None,
            Condition.DISABLED: not self._enabled,
            Condition.CLOCK_WENT_BACK: went_back,
        }
        found = {condition: "" for condition, held in holds.items() if held}
        if duplicate:
            found[Condition.DUPLICATE_PUBLISHER] = duplicate
        return found

    def _judge_pose(self, now_ns: int, inputs: ArbiterInputs) -> dict[Condition, str]:
        pose = inputs.pose
        if pose is None:
            return {Condition.NO_OBSERVATION: ""}
        found = {}
        age_ns = max(now_ns - pose.stamp_ns, inputs.steady_ns - pose.receive_ns)
        if pose.stamp_ns - now_ns > self._future_ns:
            found[Condition.OBSERVATION_AHEAD] = _seconds(pose.stamp_ns - now_ns, "ahead")
        if age_ns > self._max_age_ns:
            found[Condition.OBSERVATION_OLD] = _seconds(age_ns, "old")
        if not _is_position(pose):
            found[Condition.OBSERVATION_BROKEN] = f"position {pose.position}"
        return found

    def _judge_operator(self, now_ns: int, inputs: ArbiterInputs) -> dict[Condition, str]:
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
            found[Condition.OPERATOR_QUIET] = _seconds(quiet_ns, "silent")
        if not (connected and heard):
            if self._config.operator_required:
                found[Condition.NO_OPERATOR] = ""
            return found
        if _acts(sample):
            found |= self._judge_motion(now_ns, sample)
        self._motion_refused = _acts(sample) and Condition.OPERATOR_ACTS not in found
        if OperatorEvent.HAND_BACK in sample.events:
            self._hand_back_requested = self._in_control
        if Condition.OPERATOR_ACTS in found:
            self._last_active_ns = inputs.steady_ns
            self._human_values = self._drive(sample)
        elif self._in_control:
            rest_ns = inputs.steady_ns - self._last_active_ns
            if self._hand_back_requested or rest_ns >= self._config.hand_back_s * 1e9:
                self._end_control(now_ns)
            else:
                found[Condition.OPERATOR_RESTS] = ""
                self._human_values = self._rest()
        return found

    def _judge_motion(self, now_ns: int, sample: OperatorInput) -> dict[Condition, str]:
        fault = _values_fault(sample, self._size)
        if fault:
            return {Condition.OPERATOR_BROKEN if self._in_control else Condition.NEWCOMER_BROKEN: fault}
        if sample.stamp_ns - now_ns > self._future_ns:
            return {Condition.OPERATOR_AHEAD: _seconds(sample.stamp_ns - now_ns, "ahead")}
        if now_ns - sample.stamp_ns > self._stale_ns:
            return {Condition.OPERATOR_BEHIND: _seconds(now_ns - sample.stamp_ns, "old")}
        if not self._in_control:
            self._human_gripper = float(self._executed[GRIPPER])
        self._in_control, self._hand_back_requested = True, False
        return {Condition.OPERATOR_ACTS: ""}

    def _drive(self, sample: OperatorInput) -> np.ndarray:
        """The operator's action (A,); a gripper value of 0 leaves the gripper to the toggle button."""
        values = self._rest()
        if sample.active:
            values = np.asarray(sample.values, np.float64).copy()
            if values[GRIPPER] != 0.0:
                self._human_gripper = float(values[GRIPPER])
        if sample.events.count(OperatorEvent.GRIPPER_TOGGLE) % 2:
            self._human_gripper = _OPEN if self._human_gripper > 0 else _CLOSED
        values[GRIPPER] = self._human_gripper
        return values

    def _rest(self) -> np.ndarray:
        values = self._executed.copy()
        values[TWIST] = 0.0
        values[GRIPPER] = self._human_gripper
        return values

    def _judge_policy(self, now_ns: int, inputs: ArbiterInputs) -> dict[Condition, str]:
        newest, found = inputs.policy, {}
        if "policy" in inputs.late:
            found[Condition.POLICY_MISSED_DEADLINE] = ""
        if newest is None:
            return found | {Condition.NO_CHUNK_YET: ""}
        silent_ns = inputs.steady_ns - newest.receive_ns
        if silent_ns > self._config.policy_silent_s * 1e9:
            found[Condition.POLICY_QUIET] = _seconds(silent_ns, "silent")
        chunk = newest.chunk
        if chunk is None or newest.fault:
            return found | {Condition.POLICY_REPORTS_FAULT: newest.fault or "no chunk"}
        age_ns = now_ns - chunk.observation_stamp_ns
        fault = self._shape_fault(chunk)
        if fault:
            return found | {Condition.CHUNK_MISSHAPEN: fault}
        if not np.all(np.isfinite(chunk.values)):
            found[Condition.CHUNK_NOT_FINITE] = ""
        if -age_ns > self._future_ns:
            found[Condition.CHUNK_AHEAD] = _seconds(-age_ns, "ahead")
        if chunk.observation_stamp_ns < self._fresh_after_ns:
            found[Condition.CHUNK_FROM_BEFORE] = ""
        if age_ns > self._max_age_ns:
            found[Condition.CHUNK_OLD] = _seconds(age_ns, "old")
        if self._row_index(chunk, now_ns) >= len(chunk.values):
            found[Condition.CHUNK_USED_UP] = f"{len(chunk.values)} rows"
        return found

    def _shape_fault(self, chunk: ActionChunk) -> str:
        period = self._contract.period_ns
        if chunk.values.ndim != 2 or chunk.values.shape[1] != self._size or not len(chunk.values):
            return f"shape {chunk.values.shape}, the contract says (horizon, {self._size})"
        if abs(chunk.period_ns - period) > _PERIOD_TOLERANCE * period:
            return f"period {chunk.period_ns * 1e-9:.4f} s, the contract says {period * 1e-9:.4f} s"
        return ""

    def _row_index(self, chunk: ActionChunk, now_ns: int) -> int:
        # a stamp ahead within the tolerance belongs to the first row
        return max(0, round((now_ns - chunk.observation_stamp_ns) / self._contract.period_ns))

    def _policy_row(self, newest: PolicyInput | None, now_ns: int) -> np.ndarray | None:
        """The policy's action (A,) for this tick, whether or not it may drive."""
        if newest is None or newest.chunk is None or newest.fault or self._shape_fault(newest.chunk):
            return None
        chunk, age_ns = newest.chunk, now_ns - newest.chunk.observation_stamp_ns
        index = self._row_index(chunk, now_ns)
        if age_ns > self._max_age_ns or -age_ns > self._future_ns or index >= len(chunk.values):
            return None
        row = np.asarray(chunk.values[index], np.float32)
        return row if np.all(np.isfinite(row)) else None

    def _decide(self, reason: Reason, detail: str, inputs: ArbiterInputs, dt_s: float) -> Decision:
        row, pose = self._policy_row(inputs.policy, self._now_ns), inputs.pose
        if self.state is ControlState.POLICY:
            wanted = row
        elif self.state is ControlState.HUMAN:
            wanted = self._human_values
        else:
            wanted = self._executed.copy()
            braking = (self._config.linear_deceleration, self._config.angular_deceleration)
            wanted[TWIST] = decelerate(wanted[TWIST], dt_s, *braking)
        position = pose.position if pose is not None and _is_position(pose) else None
        values, clipped = self._limits.apply(wanted, position)
        self._executed = values.astype(np.float64)
        source = _SOURCES.get(self.state, ControlSource.HOLD)
        takeover = source is ControlSource.HUMAN and self._last_mover is not ControlSource.HUMAN
        self.takeovers += takeover
        if source is not ControlSource.HOLD:
            self._last_mover = source
        chunk = inputs.policy.chunk if inputs.policy is not None else None
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
            human_values=None if self._human_values is None else self._human_values.astype(np.float32),
            adapter_version=self._adapter_version,
            clipped=clipped,
        )


def _acts(sample: OperatorInput) -> bool:
    return sample.active or OperatorEvent.GRIPPER_TOGGLE in sample.events


def _values_fault(sample: OperatorInput, size: int) -> str:
    if not sample.active:
        return ""
    if sample.values is None or sample.values.shape != (size,):
        got = "none" if sample.values is None else str(sample.values.shape)
        return f"values {got}, the contract says ({size},)"
    return "" if np.all(np.isfinite(sample.values)) else "values are not finite"


def _is_position(pose: PoseInput) -> bool:
    return pose.position.shape == (3,) and bool(np.all(np.isfinite(pose.position)))


def _seconds(ns: int, what: str) -> str:
    return f"{ns * 1e-9:.3f} s {what}"
