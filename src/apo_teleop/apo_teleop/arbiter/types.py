"""What goes into the arbiter and what comes out. Frozen; times are nanoseconds."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from apo_core.types import ActionChunk, ControlSource, OperatorEvent


class ControlState(enum.StrEnum):
    """State of the arbiter."""

    IDLE = "IDLE"  # not enabled: holds
    POLICY = "POLICY"  # the policy drives
    HUMAN = "HUMAN"  # the operator drives, or rests within the hold window
    HOLD = "HOLD"  # nobody may drive: decelerates, then stands still
    ESTOP = "ESTOP"  # emergency stop: as HOLD, until cleared


class Reason(enum.StrEnum):
    """What can hold in a tick, and thereby why the arbiter is in its state; every command has one."""

    POLICY_IN_CONTROL = "policy_in_control"
    OPERATOR_MOTION = "operator_motion"
    OPERATOR_REST = "operator_rest"
    DISABLED = "disabled"
    ESTOP = "estop"
    LATCHED = "latched"  # never published: the command has the reason that was latched
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
    STANDBY_OPERATOR_INVALID = "standby_operator_invalid"  # of one not in control; published as operator_invalid
    OPERATOR_FUTURE = "operator_future"
    OPERATOR_DELAYED = "operator_delayed"
    OPERATOR_NOT_AT_REST = "operator_not_at_rest"
    OPERATOR_LATE = "operator_late"
    OPERATOR_UNKNOWN = "operator_unknown"
    OPERATOR_SILENT = "operator_silent"
    OPERATOR_ABSENT = "operator_absent"
    OPERATOR_UNUSED = "operator_unused"
    ADAPTER_UNKNOWN = "adapter_unknown"
    POLICY_LATE = "policy_late"
    NO_CHUNK = "no_chunk"
    POLICY_SILENT = "policy_silent"
    CONTENT_FROZEN = "content_frozen"
    POLICY_FAULT = "policy_fault"
    CHUNK_MALFORMED = "chunk_malformed"
    CHUNK_NON_FINITE = "chunk_non_finite"
    CHUNK_FUTURE = "chunk_future"
    AWAITING_FRESH_CHUNK = "awaiting_fresh_chunk"
    CHUNK_STALE = "chunk_stale"
    CHUNK_EXHAUSTED = "chunk_exhausted"


@dataclass(frozen=True, slots=True)
class PolicyInput:
    """Newest message of the policy."""

    chunk: ActionChunk | None  # None with a fault
    fault: str  # empty, or why there is no chunk
    receive_ns: int  # steady time of arrival
    frame_id: str = ""  # of the header; empty: not named


@dataclass(frozen=True, slots=True)
class OperatorInput:
    """Newest sample of the operator's device."""

    stamp_ns: int  # ROS time at which the device reported
    receive_ns: int  # steady time of arrival
    connected: bool
    active: bool  # deflected
    values: np.ndarray | None  # float32 (A,), contract units; gripper 0 leaves the gripper as it is
    events: tuple[OperatorEvent, ...] = ()  # all since the last step
    clear_stamp_ns: int | None = None  # stamp of the newest sample with CLEAR among them; None: stamp_ns
    frame_id: str = ""  # of the header; empty: not named


@dataclass(frozen=True, slots=True)
class PoseInput:
    """Newest observation, as far as the arbiter needs it."""

    stamp_ns: int  # ROS time
    receive_ns: int  # steady time of arrival
    position: tuple[float, ...]  # (3,) m, end effector
    frame_id: str = ""  # of the header; empty: not named


@dataclass(frozen=True, slots=True)
class FeedbackInput:
    """Newest measurement of what the robot does."""

    stamp_ns: int  # ROS time
    receive_ns: int  # steady time of arrival
    twist: tuple[float, ...]  # (6,) m/s, rad/s, end effector
    frame_id: str = ""  # of the header; empty: not named


@dataclass(frozen=True, slots=True)
class ArbiterInputs:
    """Snapshot of all inputs of one tick."""

    steady_ns: int  # steady time now; in lockstep simulated time, as all receive_ns
    policy: PolicyInput | None = None
    operator: OperatorInput | None = None
    pose: PoseInput | None = None
    feedback: FeedbackInput | None = None
    adapters: frozenset[int] = frozenset()  # versions the policy node has announced
    estop: bool = False  # a publisher on the emergency stop topic requests a stop now
    duplicate: str = ""  # topic with more than one publisher
    operator_expected: bool = False  # no sample of a device has come yet, but one may be on its way
    operator_published: bool = False  # a node publishes samples of a device
    output_fault: str = ""  # why the output to the robot cannot compute motion
    output_share: float = 1.0  # of the newest command's speed that the arm's own limits have left, 0..1
    late: tuple[str, ...] = ()  # lockstep: no answer at the deadline from: policy, operator


@dataclass(frozen=True, slots=True)
class Decision:
    """The command of one tick, with its cause."""

    values: np.ndarray  # float32 (A,), contract units, within every limit of the contract
    source: ControlSource
    state: ControlState
    reason: Reason
    detail: str  # more about the reason, for people; may be empty
    latched: bool  # stays until cleared
    takeover: bool  # the operator has just taken control
    observation_stamp_ns: int  # newest observation; 0 without one
    chunk_stamp_ns: int  # observation behind policy_values; 0 without one
    policy_values: np.ndarray | None  # float32 (A,), the policy's action for this tick, executed or shadow
    human_values: np.ndarray | None  # float32 (A,), the operator's action while in control
    adapter_version: int  # adapter behind policy_values
    clipped: tuple[str, ...]  # contract keys of the limits that changed the action
    policy_tokens: np.ndarray | None = None  # int32 (A,), emitted by the policy for policy_values; None: unknown
    operator_stamp_ns: int = 0  # newest sample of the operator's device; 0 without one

    @property
    def text(self) -> str:
        """State, reason and detail in a line, for people."""
        cause = " ".join(filter(None, (self.reason, self.detail)))
        return f"{self.state}: {cause}{', until cleared' * self.latched}"

    @property
    def is_stop(self) -> bool:
        """Whether a fault or an emergency stop keeps the robot from moving; IDLE is none."""
        return self.source is ControlSource.HOLD and self.state is not ControlState.IDLE
