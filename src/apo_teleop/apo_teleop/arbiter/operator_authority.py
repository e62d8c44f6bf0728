"""Whether the operator is in control, the operator's action, and when control goes back. Pure; time is passed in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from apo_core.actions import CLOSED, GRIPPER, OPEN, TWIST
from apo_core.contract.contract import Contract
from apo_core.contract.frames import frame_fault
from apo_core.types import OperatorEvent
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.types import ArbiterInputs, OperatorInput, Reason
from apo_teleop.arbiter.watchdogs import Found, seconds

USE_THE_DEVICE = "move the operator's device or press a button of it once"  # for people, of OPERATOR_UNUSED


class OperatorAuthority:
    """Memory of one operator: in control from the first motion until control goes back or is taken away.

    Args:
        config: hand-back, largest age of a sample, tolerance of stamps ahead.
        contract: size and frame of an action.
    """

    def __init__(self, config: ArbiterConfig, contract: Contract):
        self._required, self._contract = config.operator_required, contract
        self._future_ns = round(config.future_tolerance_s * 1e9)
        self._stale_ns = round(config.operator_stale_s * 1e9)
        self._rest_ns = config.hand_back_s * 1e9 if config.hand_back == "rest" else math.inf
        self.in_control = False
        self.is_used = False  # the device has been moved or let go of, or a button pressed, since it came
        self._was_active: bool | None = None  # at its last sample; None: it is not there
        self.motion_rejected = False  # the operator acts, but may not take control
        self.values: list[float] | None = None  # (A,) the operator's action in this tick
        self.has_gripped = False  # whether an executed action of the operator has ever commanded the gripper
        self._hand_back_requested = False
        self._must_rest = True  # a device may be held while control starts
        self._last_active_ns = 0
        self._gripper = self._next_gripper = OPEN
        self._grips = False  # whether the action of this tick commands the gripper

    def end(self) -> None:
        """Control goes to somebody else."""
        self.in_control = self._hand_back_requested = False

    def require_rest(self) -> None:
        """From now on the device must have been at rest once before it can take control."""
        self._must_rest = True

    def rested(self) -> None:
        """The device is at rest."""
        self._must_rest = False

    def observe(self, sample: OperatorInput | None, steady_ns: int) -> None:
        """Notes whether somebody uses the device, in every state: one that never changes may have nobody at it."""
        if sample is None or not self._is_there(sample, steady_ns):
            self.is_used, self._was_active = False, None
            return
        moved = self._was_active is not None and sample.active != self._was_active
        self.is_used |= moved or bool(sample.events)
        self._was_active = sample.active

    def hand_back(self) -> bool:
        """Control goes back as soon as the device rests; whether the operator is in control."""
        self._hand_back_requested = self.in_control
        return self.in_control

    def executed(self) -> None:
        """The operator's action of this tick is carried out; the gripper stays where it leaves it."""
        self._gripper = self._next_gripper
        self.has_gripped |= self._grips

    def evaluate(self, now_ns: int, inputs: ArbiterInputs, executed: Sequence[float]) -> Found:
        """Reasons that hold of the operator in this tick; updates `in_control` and `values`.

        Args:
            now_ns: ROS time.
            inputs: the newest sample, with all its events since the last tick.
            executed: (A,) the command before.
        """
        sample, found = inputs.operator, {}
        if "operator" in inputs.late:
            found[Reason.OPERATOR_LATE] = ""
        connected = sample is not None and sample.connected
        quiet_ns = inputs.steady_ns - sample.receive_ns if sample is not None else 0
        if self.in_control and not connected:
            found[Reason.DEVICE_LOST] = ""
        if self.in_control and quiet_ns > self._stale_ns:
            found[Reason.OPERATOR_STALE] = seconds(quiet_ns, "silent")
        if connected and not self.in_control and quiet_ns > self._stale_ns and inputs.operator_published:
            found[Reason.OPERATOR_SILENT] = seconds(quiet_ns, "silent")  # somebody may be moving the device
        if sample is None or not self._is_there(sample, inputs.steady_ns):
            if self._required:
                found[Reason.OPERATOR_ABSENT] = ""
            if connected and sample is not None and acts(sample) and self._must_rest:
                found[Reason.OPERATOR_NOT_AT_REST] = ""  # silence is no rest
            return found
        if self._required and not self.is_used:
            found[Reason.OPERATOR_UNUSED] = USE_THE_DEVICE
        if not acts(sample):
            self.rested()
        elif self._must_rest:
            found[Reason.OPERATOR_NOT_AT_REST] = ""
        else:
            found |= self._evaluate_motion(now_ns, sample, executed)
        self.motion_rejected = acts(sample) and Reason.OPERATOR_MOTION not in found
        if OperatorEvent.HAND_BACK in sample.events:
            self.hand_back()
        if Reason.OPERATOR_MOTION in found:
            self._last_active_ns = inputs.steady_ns
            self.values = self._drive(sample, executed)
        elif self.in_control:
            if self._hand_back_requested or inputs.steady_ns - self._last_active_ns >= self._rest_ns:
                self.end()
            else:
                found[Reason.OPERATOR_REST] = ""
                self.values = self._rest(executed)
        return found

    def _is_there(self, sample: OperatorInput, steady_ns: int) -> bool:
        return sample.connected and steady_ns - sample.receive_ns <= self._stale_ns

    def _evaluate_motion(self, now_ns: int, sample: OperatorInput, executed: Sequence[float]) -> Found:
        fault = _values_fault(sample, self._contract.action.size) or frame_fault(sample.frame_id, self._contract)
        if fault:
            return {Reason.OPERATOR_INVALID if self.in_control else Reason.STANDBY_OPERATOR_INVALID: fault}
        if sample.stamp_ns - now_ns > self._future_ns:
            return {Reason.OPERATOR_FUTURE: seconds(sample.stamp_ns - now_ns, "ahead")}
        if now_ns - sample.stamp_ns > self._stale_ns:
            return {Reason.OPERATOR_DELAYED: seconds(now_ns - sample.stamp_ns, "old")}
        if not self.in_control:
            self._gripper = executed[GRIPPER]
            self.in_control, self._hand_back_requested = True, False
        return {Reason.OPERATOR_MOTION: ""}

    def _drive(self, sample: OperatorInput, executed: Sequence[float]) -> list[float]:
        """The operator's action (A,); a gripper value of 0 leaves the gripper to the toggle button."""
        values = self._rest(executed)
        gripper = self._gripper
        if sample.active and sample.values is not None:
            values = sample.values.tolist()
            self._grips = bool(values[GRIPPER])
            gripper = values[GRIPPER] or gripper
        if sample.events.count(OperatorEvent.GRIPPER_TOGGLE) % 2:
            self._grips = True
            gripper = OPEN if gripper > 0 else CLOSED
        values[GRIPPER] = self._next_gripper = gripper
        return values

    def _rest(self, executed: Sequence[float]) -> list[float]:
        values = list(executed)
        values[TWIST] = [0.0] * 6
        values[GRIPPER] = self._next_gripper = self._gripper
        self._grips = False
        return values


def acts(sample: OperatorInput) -> bool:
    """Whether a sample asks for motion of the arm or the gripper."""
    return sample.active or OperatorEvent.GRIPPER_TOGGLE in sample.events


def _values_fault(sample: OperatorInput, size: int) -> str:
    if not sample.active:
        return ""
    if sample.values is None or sample.values.shape != (size,):
        got = "none" if sample.values is None else str(sample.values.shape)
        return f"values {got}, the contract requires ({size},)"
    return "" if np.isfinite(sample.values).all() else "values are not finite"
