"""Types that flow between the parts of apo. Arrays are owned by the value: do not write into them."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np


class ControlSource(enum.StrEnum):
    """Who decided the executed action of a control tick."""

    POLICY = "POLICY"
    HUMAN = "HUMAN"
    HOLD = "HOLD"


class OperatorEvent(enum.StrEnum):
    """Events of an operator device, as in apo_interfaces/OperatorCommand.

    The arbiter acts on the first five, the recorder on the others.
    """

    GRIPPER_TOGGLE = "gripper_toggle"
    HAND_BACK = "hand_back"
    ESTOP = "estop"
    CLEAR = "clear"
    PRESENT = "present"  # an operator is at the device: a button without another role
    START = "start"
    SUCCESS = "success"
    FAILURE = "failure"
    DISCARD = "discard"
    UNDO_LAST = "undo_last"

    @classmethod
    def known(cls, names: Iterable[str]) -> tuple[OperatorEvent, ...]:
        """The events of a message, in order; names that are no event are left out."""
        return tuple(cls(name) for name in names if name in set(cls))


class StepLabel(enum.StrEnum):
    """Label of a step for preference optimisation (c_t = 1, 2, 0 of arXiv 2506.07127); derived, never stored."""

    DESIRABLE = "DESIRABLE"
    CORRECTED = "CORRECTED"
    UNDESIRABLE = "UNDESIRABLE"
    UNUSED = "UNUSED"


class Outcome(enum.StrEnum):
    """How an episode ended."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    UNLABELED = "UNLABELED"


class Purpose(enum.StrEnum):
    """Why an interaction was recorded: the tag `purpose` of its file."""

    DEPLOYMENT = "deployment"  # policy with its operator at hand; training data
    RELOAD = "reload"  # the robot is driven while an adapter is swapped in
    EVALUATION = "evaluation"  # policy alone on held-out seeds; never trained on


# tag of an episode file: what the simulation changed of the task's usual setting, JSON {parameter: value}
PERTURBATION = "perturbation"
ROBOT, SITE = "robot", "site"  # tags: which robot recorded it, and where


class EpisodeKind(enum.StrEnum):
    """What an episode file holds: a demonstration by an expert, or a deployed policy with its operator."""

    DEMONSTRATION = "DEMONSTRATION"
    INTERACTION = "INTERACTION"


@dataclass(frozen=True, slots=True)
class Observation:
    """What the robot sensed at one moment."""

    stamp_ns: int  # ROS time that its parts are aligned to
    images: Mapping[str, np.ndarray]  # {camera: uint8 (H, W, 3) rgb or (H, W, 1) grey, uint16 (H, W, 1) depth}
    state: Mapping[str, np.ndarray]  # {contract state key: float32 (n,)}, SI units
    instruction: str
    header_stamps_ns: Mapping[str, int] = field(default_factory=dict)  # {camera or state key: of its sample}
    receive_ns: Mapping[str, int] = field(default_factory=dict)  # {camera or state key: steady time of arrival}


@dataclass(frozen=True, slots=True)
class ActionChunk:
    """Actions predicted from one observation; row i is for observation_stamp_ns + i * period_ns."""

    observation_stamp_ns: int
    period_ns: int
    values: np.ndarray  # float32 (horizon, A), contract units
    log_probs: np.ndarray  # float32 (horizon,), nats, summed over the action tokens of a row
    adapter_version: int  # 0 is the base policy
    tokens: np.ndarray | None = None  # integer (L,) behind the values; float32 (L,) of a continuous head; None: unknown
    entropies: np.ndarray | None = None  # float32 (horizon,), nats, summed like log_probs; None: the policy has none


@dataclass(frozen=True, slots=True)
class EpisodeOutcome:
    """How an episode ended: `terminated` by the task or the operator, `truncated` by a limit."""

    outcome: Outcome
    reason: str
    terminated: bool
    truncated: bool


@dataclass(frozen=True, slots=True)
class ExecutedCommand:
    """The value of apo_interfaces/ActionCommand; stamps in nanoseconds, 0 for none."""

    tick: int
    stamp_ns: int  # ROS time of publication
    observation_stamp_ns: int  # observation known to the arbiter at this tick
    chunk_stamp_ns: int  # observation behind policy_action
    receive_ns: int  # steady time of arrival
    action: np.ndarray  # float32 (A,), contract units
    policy_action: np.ndarray | None  # float32 (A,)
    human_action: np.ndarray | None  # float32 (A,)
    source: ControlSource
    reason: str
    adapter_version: int
    clipped: str = ""  # contract limits that changed the action, comma separated
    policy_tokens: np.ndarray | None = None  # int32 (A,), emitted by the policy for policy_action; None: unknown

    @property
    def is_finite(self) -> bool:
        """Whether the action is finite; one that is not was not executed and must not be recorded."""
        return bool(np.all(np.isfinite(self.action)))


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """The value of apo_interfaces/TaskStatus; stamps in nanoseconds."""

    stamp_ns: int
    trial: int
    seed: int
    running: bool
    success: bool
    truncated: bool
    last_observation_stamp_ns: int  # observation answered by the last executed command
    remaining: float | None = None  # what is left of the task, in its own unit; 0 nothing; None: unknown
    perturbation: str = ""  # what a simulation changes of the task's usual setting; empty: nothing
    stages: Mapping[str, bool] | None = None  # {stage of the task, in order: whether it is reached}; None: unknown
    step: int = 0  # control steps since the reset


@dataclass(frozen=True, slots=True)
class Step:
    """One control tick of an episode: what was known and what was done. NaN-free; absent actions are None."""

    tick: int
    observation: Observation
    executed_action: np.ndarray  # float32 (A,), contract units
    policy_action: np.ndarray | None  # float32 (A,), executed or shadow
    human_action: np.ndarray | None  # float32 (A,)
    source: ControlSource
    reason: str
    adapter_version: int  # adapter behind policy_action
    command_stamp_ns: int  # ROS time of publication
    chunk_stamp_ns: int  # observation behind policy_action; 0 without one
    receive_ns: int  # steady time of arrival at the recorder
    clipped: str = ""  # contract limits that changed the action, comma separated
    policy_tokens: np.ndarray | None = None  # int32 (A,), emitted by the policy for policy_action; None: unknown
    task_remaining: float | None = None  # what is left of the task at the observation, in its own unit; None: unknown
    task_stages: Mapping[str, bool] | None = None  # {stage, in order: reached at the observation}; None: unknown


@dataclass(frozen=True, slots=True)
class EpisodeInfo:
    """What is known about an episode as a whole."""

    episode_id: str
    kind: EpisodeKind
    task: str
    instruction: str
    seed: int
    operator: str
    contract_json: str
    created_utc: str  # ISO 8601
    tags: Mapping[str, str] = field(default_factory=dict)
    pre_roll_steps: int = 0  # leading steps from before the start was requested
