"""Parameters of the arbiter (config/arbiter.yaml)."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.config.parameters import group, parameter
from apo_core.errors import ConfigError
from apo_teleop.outputs.config import OutputConfig


@dataclass(frozen=True, slots=True)
class ArbiterConfig:
    """When the operator has control, when an input is too old, how motion ends, and what the robot is sent."""

    robot: OutputConfig = group(OutputConfig)
    contract_file: str = parameter("config/contract.yaml", "the contract; gives rate, shapes, age and motion limits")
    lockstep: bool = parameter(
        False, "true: one tick per ee_pose, once policy and operator have answered it; false: a timer at the rate"
    )
    lockstep_deadline_s: float = parameter(
        5.0, "lockstep: wall time a tick waits for policy and operator before it is HOLD", low=0.01, high=600.0
    )
    realtime_priority: int = parameter(
        20,
        "SCHED_FIFO priority of the arbiter's threads, so that no busy program delays a takeover; 0: none; the log "
        "names what is missing where it is not permitted",
        low=0,
        high=99,
    )
    start_enabled: bool = parameter(False, "true: the policy may drive from the start; false: wait for ~/enable")
    hand_back: str = parameter(
        "rest",
        "rest: control goes back after hand_back_s of rest, or by button; button: by the event hand_back or the "
        "service ~/hand_back alone",
        choices=("rest", "button"),
    )
    hand_back_s: float = parameter(
        0.5, "hand_back rest: s of rest of the operator after which control goes back", low=0.0, high=60.0
    )
    operator_stale_s: float = parameter(
        0.3, "s without a sample of an operator in control after which it counts as lost", low=0.01, high=10.0
    )
    operator_search_s: float = parameter(
        2.0,
        "s after the start in which the policy waits for a first sample of the operator's device, who may be moving "
        "it; it waits on while a node publishes them",
        low=0.0,
        high=60.0,
    )
    operator_required: bool = parameter(
        False,
        "true: the policy drives only while an operator device is connected that was moved, or had a button pressed, "
        "since the start and since it was lost",
    )
    policy_silent_s: float = parameter(
        0.5, "s without a chunk message after which the policy counts as lost", low=0.01, high=3600.0
    )
    future_tolerance_s: float = parameter(
        0.1,
        "s that a stamp may lie ahead of the arbiter's clock; at most max_age_s of the contract",
        low=0.0,
        high=10.0,
    )
    following_s: float = parameter(
        0.5,
        "s that the measured motion may stay behind the commanded before the robot counts as not following; 0: never "
        "(needs feedback in the contract)",
        low=0.0,
        high=60.0,
    )
    following_share: float = parameter(
        0.2, "share of the commanded speed that the measured one must reach", low=0.0, high=1.0
    )
    following_speed: float = parameter(0.03, "m/s, commands below it need not be followed", low=0.0, high=10.0)
    following_angular_speed: float = parameter(
        0.1, "rad/s, commands below it need not be followed", low=0.0, high=100.0
    )
    linear_deceleration: float = parameter(
        8.0,
        "m/s^2 at which HOLD ends translation; at most limits.linear_acceleration of the contract",
        low=0.01,
        high=1000.0,
    )
    angular_deceleration: float = parameter(
        80.0,
        "rad/s^2 at which HOLD ends rotation; at most limits.angular_acceleration of the contract",
        low=0.01,
        high=10000.0,
    )
    publisher_check_s: float = parameter(0.5, "s between counts of the publishers on each input", low=0.05, high=60.0)
    sensor_reliability: str = parameter(
        "reliable", "QoS of ee_pose and of the feedback", choices=("reliable", "best_effort")
    )

    def __post_init__(self) -> None:
        robot = self.robot
        sends = robot.output != "none" or robot.gripper_output != "none"
        if self.lockstep and sends and robot.output_stamp != "observation":
            fault = f"output_stamp = {robot.output_stamp!r} must be 'observation' with lockstep = true"
            raise ConfigError("config/arbiter.yaml", [fault])
