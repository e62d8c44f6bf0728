"""The arbiter's state table: what holds in a tick, by priority, and the state it leads to. Pure data.

The past enters through three kinds of reasons alone: LATCHED, those of an operator in control (one who has acted and
has not handed back), and that of the end of the last intervention.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from apo_teleop.arbiter.types import ControlState, Reason

# published in place of a reason; None: the reason that was latched
_PUBLISHED = {Reason.LATCHED: None, Reason.STANDBY_OPERATOR_INVALID: Reason.OPERATOR_INVALID}


@dataclass(frozen=True, slots=True)
class Transition:
    """While `reason` holds, to `target`, whatever the state before."""

    reason: Reason
    target: ControlState | None  # None: stays as it is
    condition: str  # when the reason holds, for people
    latches: bool = False  # stays until cleared

    @property
    def published(self) -> Reason | None:
        """The reason in the command; None: the latched one."""
        return _PUBLISHED.get(self.reason, self.reason)


_HOLD, _HUMAN = ControlState.HOLD, ControlState.HUMAN

TRANSITIONS: tuple[Transition, ...] = (
    Transition(Reason.ESTOP, ControlState.ESTOP, "an emergency stop was requested", latches=True),
    Transition(Reason.LATCHED, None, "an earlier fault has not been cleared", latches=True),
    Transition(Reason.DISABLED, ControlState.IDLE, "the service ~/enable has not allowed control"),
    # before what ends by itself: no other fault may hide one that a person must clear
    Transition(Reason.DEVICE_LOST, _HOLD, "the operator in control has lost the device", latches=True),
    Transition(
        Reason.OPERATOR_STALE, _HOLD, "the operator in control has sent nothing for operator_stale_s", latches=True
    ),
    Transition(
        Reason.OPERATOR_INVALID,
        _HOLD,
        "the operator in control sends values of wrong length, not finite or in another frame",
        latches=True,
    ),
    Transition(
        Reason.ROBOT_NOT_FOLLOWING,
        _HOLD,
        "the measured motion has stayed behind the commanded for following_s",
        latches=True,
    ),
    # nobody drives without a view of the robot, or while an input is ambiguous
    Transition(Reason.CLOCK_JUMP, _HOLD, "time is before that of the last tick"),
    Transition(
        Reason.MULTIPLE_PUBLISHERS,
        _HOLD,
        "an input has more than one publisher, or another node sends the robot commands",
    ),
    Transition(Reason.OBSERVATION_MISSING, _HOLD, "no end-effector pose has arrived"),
    Transition(Reason.OBSERVATION_FUTURE, _HOLD, "the pose's stamp lies in the future beyond the tolerance"),
    Transition(
        Reason.OBSERVATION_STALE, _HOLD, "the pose's stamp or its arrival is older than max_age_s of the contract"
    ),
    Transition(
        Reason.OBSERVATION_INVALID, _HOLD, "the pose's position is not finite, beyond 1e9 m, or in another frame"
    ),
    Transition(Reason.FEEDBACK_MISSING, _HOLD, "the contract names feedback, and none has arrived"),
    Transition(Reason.FEEDBACK_FUTURE, _HOLD, "the feedback's stamp lies in the future beyond the tolerance"),
    Transition(
        Reason.FEEDBACK_STALE, _HOLD, "the feedback's stamp or its arrival is older than max_age_s of the contract"
    ),
    Transition(Reason.FEEDBACK_INVALID, _HOLD, "the feedback's twist is not finite, or in another frame"),
    Transition(Reason.OUTPUT_BLOCKED, _HOLD, "the output to the robot cannot compute motion"),
    # the operator comes before the policy
    Transition(Reason.OPERATOR_LATE, _HOLD, "lockstep: the operator has not answered the tick in time"),
    Transition(
        Reason.OPERATOR_UNKNOWN,
        _HOLD,
        "no sample of a device has arrived since the start, and a node publishes them or operator_search_s has not "
        "passed",
    ),
    Transition(
        Reason.OPERATOR_SILENT,
        _HOLD,
        "a connected device whose node still publishes has sent nothing for operator_stale_s: it may be in motion",
    ),
    Transition(
        Reason.STANDBY_OPERATOR_INVALID,
        _HOLD,
        "an operator not in control sends values of wrong length, not finite or in another frame",
    ),
    Transition(Reason.OPERATOR_FUTURE, _HOLD, "the sample's stamp lies in the future beyond the tolerance"),
    Transition(Reason.OPERATOR_DELAYED, _HOLD, "the sample's stamp is older than operator_stale_s"),
    Transition(
        Reason.OPERATOR_NOT_AT_REST,
        _HOLD,
        "the device was not let go of since control began, or was disabled, latched or deactivated",
    ),
    Transition(Reason.OPERATOR_MOTION, _HUMAN, "the device is deflected or its gripper button was pressed"),
    Transition(Reason.OPERATOR_REST, _HUMAN, "the operator in control rests and has not handed back"),
    Transition(Reason.OPERATOR_ABSENT, _HOLD, "operator_required, and no device is connected"),
    Transition(
        Reason.OPERATOR_UNUSED,
        _HOLD,
        "operator_required, and the connected device was neither moved nor a button of it pressed since the start, or "
        "since it was lost",
    ),
    # faults of the policy end by themselves
    Transition(Reason.ADAPTER_UNKNOWN, _HOLD, "the policy node has not announced the chunk's adapter"),
    Transition(Reason.POLICY_LATE, _HOLD, "lockstep: the policy has not answered the tick in time"),
    Transition(Reason.NO_CHUNK, _HOLD, "the policy has sent nothing yet"),
    Transition(Reason.POLICY_SILENT, _HOLD, "the policy has sent nothing for policy_silent_s"),
    Transition(
        Reason.CONTENT_FROZEN,
        _HOLD,
        "the policy node, with frozen_content: hold, reports content that stays the same while the arm moves",
    ),
    Transition(Reason.POLICY_FAULT, _HOLD, "the policy reports why it has no action"),
    Transition(Reason.CHUNK_MALFORMED, _HOLD, "the chunk's shape, period or frame is not that of the contract"),
    Transition(Reason.CHUNK_NON_FINITE, _HOLD, "the chunk has a value that is not finite"),
    Transition(Reason.CHUNK_FUTURE, _HOLD, "the chunk's observation lies in the future beyond the tolerance"),
    Transition(
        Reason.AWAITING_FRESH_CHUNK,
        _HOLD,
        "the chunk's observation is older than the end of the last intervention or stop",
    ),
    Transition(Reason.CHUNK_STALE, _HOLD, "the chunk's observation is older than max_age_s of the contract"),
    Transition(Reason.CHUNK_EXHAUSTED, _HOLD, "the chunk has no row for this tick"),
    Transition(Reason.POLICY_IN_CONTROL, ControlState.POLICY, "nothing else applies"),
)

_PRIORITY = {row.reason: index for index, row in enumerate(TRANSITIONS)}


def next_transition(reasons: Collection[Reason]) -> Transition:
    """The first row of the table whose reason holds; the last row, POLICY_IN_CONTROL, needs no mention."""
    first = min((_PRIORITY[reason] for reason in reasons), default=len(TRANSITIONS) - 1)
    return TRANSITIONS[first]
