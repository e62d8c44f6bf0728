"""The arbiter's state table: what holds in a tick, by priority, and the state it leads to. Pure data.

The past enters through three conditions alone: LATCHED, and those that speak of an operator in control (one who has
acted and has not handed back) and of the end of the last intervention.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass

from apo_teleop.arbiter.types import ControlState


class Reason(enum.StrEnum):
    """Why the arbiter is in its state; goes into every command."""

    POLICY_IN_CONTROL = "policy_in_control"
    OPERATOR_MOTION = "operator_motion"
    OPERATOR_REST = "operator_rest"
    DISABLED = "disabled"
    ESTOP = "estop"
    DEACTIVATED = "deactivated"
    CLOCK_JUMP = "clock_jump"
    MULTIPLE_PUBLISHERS = "multiple_publishers"
    OBSERVATION_MISSING = "observation_missing"
    OBSERVATION_STALE = "observation_stale"
    OBSERVATION_FUTURE = "observation_future"
    OBSERVATION_INVALID = "observation_invalid"
    FEEDBACK_MISSING = "feedback_missing"
    FEEDBACK_STALE = "feedback_stale"
    FEEDBACK_FUTURE = "feedback_future"
    FEEDBACK_INVALID = "feedback_invalid"
    ROBOT_NOT_FOLLOWING = "robot_not_following"
    OUTPUT_BLOCKED = "output_blocked"
    DEVICE_LOST = "device_lost"
    OPERATOR_STALE = "operator_stale"
    OPERATOR_INVALID = "operator_invalid"
    OPERATOR_FUTURE = "operator_future"
    OPERATOR_DELAYED = "operator_delayed"
    OPERATOR_NOT_AT_REST = "operator_not_at_rest"
    OPERATOR_LATE = "operator_late"
    OPERATOR_ABSENT = "operator_absent"
    ADAPTER_UNKNOWN = "adapter_unknown"
    POLICY_LATE = "policy_late"
    NO_CHUNK = "no_chunk"
    POLICY_SILENT = "policy_silent"
    POLICY_FAULT = "policy_fault"
    CHUNK_MALFORMED = "chunk_malformed"
    CHUNK_NON_FINITE = "chunk_non_finite"
    CHUNK_FUTURE = "chunk_future"
    AWAITING_FRESH_CHUNK = "awaiting_fresh_chunk"
    CHUNK_STALE = "chunk_stale"
    CHUNK_EXHAUSTED = "chunk_exhausted"


class Condition(enum.Enum):
    """What can hold in a tick; several may hold at once."""

    ESTOP_REQUESTED = "somebody asked for an emergency stop"
    LATCHED = "an earlier fault has not been cleared"
    DISABLED = "the service ~/enable has not allowed control"
    DEVICE_GONE = "the operator in control has lost the device"
    OPERATOR_QUIET = "the operator in control has sent nothing for operator_stale_s"
    OPERATOR_BROKEN = "the operator in control sends values of wrong length, not finite or in another frame"
    NOT_FOLLOWING = "the measured motion has stayed behind the commanded for following_s"
    CLOCK_WENT_BACK = "time is before that of the last tick"
    DUPLICATE_PUBLISHER = "an input has more than one publisher, or somebody else sends the robot commands"
    NO_OBSERVATION = "no end-effector pose has arrived"
    OBSERVATION_OLD = "the pose's stamp or its arrival is older than max_age_s of the contract"
    OBSERVATION_AHEAD = "the pose's stamp lies in the future beyond the tolerance"
    OBSERVATION_BROKEN = "the pose's position is not finite, beyond 1e9 m, or in another frame"
    NO_FEEDBACK = "the contract names feedback, and none has arrived"
    FEEDBACK_OLD = "the feedback's stamp or its arrival is older than max_age_s of the contract"
    FEEDBACK_AHEAD = "the feedback's stamp lies in the future beyond the tolerance"
    FEEDBACK_BROKEN = "the feedback's twist is not finite, or in another frame"
    NO_OUTPUT = "the output to the robot cannot compute motion"
    OPERATOR_MISSED_DEADLINE = "lockstep: the operator has not answered the tick in time"
    NEWCOMER_BROKEN = "an operator not in control sends values of wrong length, not finite or in another frame"
    OPERATOR_AHEAD = "the sample's stamp lies in the future beyond the tolerance"
    OPERATOR_BEHIND = "the sample's stamp is older than operator_stale_s"
    OPERATOR_NOT_AT_REST = "the device was not let go of since control began, or was disabled, latched or deactivated"
    OPERATOR_ACTS = "the device is deflected or its gripper button was pressed"
    OPERATOR_RESTS = "the operator in control rests and has not handed back"
    NO_OPERATOR = "operator_required, and no device is connected"
    ADAPTER_NOT_ANNOUNCED = "the chunk's adapter is none that the policy node has announced"
    POLICY_MISSED_DEADLINE = "lockstep: the policy has not answered the tick in time"
    NO_CHUNK_YET = "the policy has sent nothing yet"
    POLICY_QUIET = "the policy has sent nothing for policy_silent_s"
    POLICY_REPORTS_FAULT = "the policy says why it has no action"
    CHUNK_MISSHAPEN = "the chunk's shape, period or frame is not that of the contract"
    CHUNK_NOT_FINITE = "the chunk has a value that is not finite"
    CHUNK_AHEAD = "the chunk's observation lies in the future beyond the tolerance"
    CHUNK_FROM_BEFORE = "the chunk's observation is older than the end of the last intervention or stop"
    CHUNK_OLD = "the chunk's observation is older than max_age_s of the contract"
    CHUNK_USED_UP = "the chunk has no row for this tick"
    ALWAYS = "nothing else applies"


@dataclass(frozen=True, slots=True)
class Transition:
    """When `condition` holds, to `target`, whatever the state before."""

    condition: Condition
    target: ControlState | None  # None: stays, with the latched reason
    reason: Reason | None  # None: the latched reason
    latches: bool = False  # stays until cleared


_HOLD, _HUMAN = ControlState.HOLD, ControlState.HUMAN

TRANSITIONS: tuple[Transition, ...] = (
    Transition(Condition.ESTOP_REQUESTED, ControlState.ESTOP, Reason.ESTOP, latches=True),
    Transition(Condition.LATCHED, None, None, latches=True),
    Transition(Condition.DISABLED, ControlState.IDLE, Reason.DISABLED),
    # before what ends by itself: no other fault may hide one that a person must clear
    Transition(Condition.DEVICE_GONE, _HOLD, Reason.DEVICE_LOST, latches=True),
    Transition(Condition.OPERATOR_QUIET, _HOLD, Reason.OPERATOR_STALE, latches=True),
    Transition(Condition.OPERATOR_BROKEN, _HOLD, Reason.OPERATOR_INVALID, latches=True),
    Transition(Condition.NOT_FOLLOWING, _HOLD, Reason.ROBOT_NOT_FOLLOWING, latches=True),
    # nobody drives without a view of the robot, or when it is unclear who speaks
    Transition(Condition.CLOCK_WENT_BACK, _HOLD, Reason.CLOCK_JUMP),
    Transition(Condition.DUPLICATE_PUBLISHER, _HOLD, Reason.MULTIPLE_PUBLISHERS),
    Transition(Condition.NO_OBSERVATION, _HOLD, Reason.OBSERVATION_MISSING),
    Transition(Condition.OBSERVATION_AHEAD, _HOLD, Reason.OBSERVATION_FUTURE),
    Transition(Condition.OBSERVATION_OLD, _HOLD, Reason.OBSERVATION_STALE),
    Transition(Condition.OBSERVATION_BROKEN, _HOLD, Reason.OBSERVATION_INVALID),
    Transition(Condition.NO_FEEDBACK, _HOLD, Reason.FEEDBACK_MISSING),
    Transition(Condition.FEEDBACK_AHEAD, _HOLD, Reason.FEEDBACK_FUTURE),
    Transition(Condition.FEEDBACK_OLD, _HOLD, Reason.FEEDBACK_STALE),
    Transition(Condition.FEEDBACK_BROKEN, _HOLD, Reason.FEEDBACK_INVALID),
    Transition(Condition.NO_OUTPUT, _HOLD, Reason.OUTPUT_BLOCKED),
    # the operator comes before the policy
    Transition(Condition.OPERATOR_MISSED_DEADLINE, _HOLD, Reason.OPERATOR_LATE),
    Transition(Condition.NEWCOMER_BROKEN, _HOLD, Reason.OPERATOR_INVALID),
    Transition(Condition.OPERATOR_AHEAD, _HOLD, Reason.OPERATOR_FUTURE),
    Transition(Condition.OPERATOR_BEHIND, _HOLD, Reason.OPERATOR_DELAYED),
    Transition(Condition.OPERATOR_NOT_AT_REST, _HOLD, Reason.OPERATOR_NOT_AT_REST),
    Transition(Condition.OPERATOR_ACTS, _HUMAN, Reason.OPERATOR_MOTION),
    Transition(Condition.OPERATOR_RESTS, _HUMAN, Reason.OPERATOR_REST),
    Transition(Condition.NO_OPERATOR, _HOLD, Reason.OPERATOR_ABSENT),
    # faults of the policy end by themselves
    Transition(Condition.ADAPTER_NOT_ANNOUNCED, _HOLD, Reason.ADAPTER_UNKNOWN),
    Transition(Condition.POLICY_MISSED_DEADLINE, _HOLD, Reason.POLICY_LATE),
    Transition(Condition.NO_CHUNK_YET, _HOLD, Reason.NO_CHUNK),
    Transition(Condition.POLICY_QUIET, _HOLD, Reason.POLICY_SILENT),
    Transition(Condition.POLICY_REPORTS_FAULT, _HOLD, Reason.POLICY_FAULT),
    Transition(Condition.CHUNK_MISSHAPEN, _HOLD, Reason.CHUNK_MALFORMED),
    Transition(Condition.CHUNK_NOT_FINITE, _HOLD, Reason.CHUNK_NON_FINITE),
    Transition(Condition.CHUNK_AHEAD, _HOLD, Reason.CHUNK_FUTURE),
    Transition(Condition.CHUNK_FROM_BEFORE, _HOLD, Reason.AWAITING_FRESH_CHUNK),
    Transition(Condition.CHUNK_OLD, _HOLD, Reason.CHUNK_STALE),
    Transition(Condition.CHUNK_USED_UP, _HOLD, Reason.CHUNK_EXHAUSTED),
    Transition(Condition.ALWAYS, ControlState.POLICY, Reason.POLICY_IN_CONTROL),
)

_PRIORITY = {row.condition: index for index, row in enumerate(TRANSITIONS)}


def next_transition(conditions: Collection[Condition]) -> Transition:
    """The first row of the table that applies; ALWAYS holds without being named."""
    first = min((_PRIORITY[condition] for condition in conditions), default=len(TRANSITIONS) - 1)
    return TRANSITIONS[first]
