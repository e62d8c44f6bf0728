"""Sends the robot what an output computes for each command, and tells the output what the robot reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.node import Node

from apo_core.actions import GRIPPER, TWIST
from apo_core.contract.contract import Contract
from apo_core.ros.qos import sensors
from apo_teleop.ros.robot_messages import RobotCommandPublisher, RobotListener, RobotStateSource, stamp_of

_LAST_COMMAND_S = 0.3
_JOINT_KINDS = ("joint_trajectory", "joint_velocity", "joint_position")


class Output(RobotListener, Protocol):
    """What computes the arm's value; see apo_teleop.outputs.base."""

    joints: tuple[str, ...]
    share: float

    def restart(self) -> None: ...

    def fault(self, now_ns: int) -> str: ...

    def command(self, twist: np.ndarray, now_ns: int) -> np.ndarray | None: ...

    def summary(self) -> dict[str, str]: ...


class Settings(Protocol):
    """Parameters; see apo_teleop.outputs.config."""

    output: str
    output_topic: str
    output_frame: str
    output_stamp: str
    gripper_output: str
    gripper_topic: str
    gripper_joint: str
    trajectory_time_s: float
    urdf_file: str
    robot_description_topic: str
    sensor_reliability: str
    lockstep: bool


class RobotOutput:
    """One message to the arm and one to the gripper for every command, apart: the arm must not wait for the other.

    Args:
        node: owns publishers and subscriptions.
        settings: kinds, topics, frame, stamps.
        contract: frame, topics of what the robot reports.
        output: computes the arm's value; None sends the arm nothing.
        gripper_position: position [m] of the gripper's value in an action.
    """

    def __init__(
        self,
        node: Node,
        settings: Settings,
        contract: Contract,
        output: Output | None,
        gripper_position: Callable[[float], float],
    ):
        self._node, self._settings, self._output = node, settings, output
        self._gripper_position = gripper_position
        self._fault = ""
        kind, frame = settings.output, settings.output_frame or contract.frame_id
        self._arm = self._gripper = self._source = None
        if output is not None:
            self._arm = RobotCommandPublisher(
                node, kind, settings.output_topic, frame, output.joints, settings.trajectory_time_s
            )
        if settings.gripper_output != "none":
            self._gripper = RobotCommandPublisher(
                node,
                settings.gripper_output,
                settings.gripper_topic,
                frame,
                [settings.gripper_joint],
                settings.trajectory_time_s,
            )
        with_joints = kind in _JOINT_KINDS
        if with_joints or kind == "pose":
            self._source = RobotStateSource(
                node,
                contract,
                sensors(settings.sensor_reliability),
                output,
                description_topic=settings.robot_description_topic if with_joints and not settings.urdf_file else "",
                with_joints=with_joints,
                lockstep=settings.lockstep,
                robot_frame=settings.output_frame,
            )

    @property
    def topics(self) -> tuple[str, ...]:
        """What is published on; nobody else may."""
        return tuple(part.topic for part in (self._arm, self._gripper) if part is not None)

    def restart(self) -> None:
        """Control begins (again)."""
        if self._output is not None:
            self._output.restart()

    def fault(self) -> str:
        """Why the arm cannot be moved now; empty when it can. Logged when it begins and ends."""
        fault = self._output.fault(self._source.now_ns()) if self._source is not None else ""
        if bool(fault) != bool(self._fault):
            logger = self._node.get_logger()
            if fault:
                logger.error(f"output {self._settings.output}: {fault}")
            else:
                logger.info(f"output {self._settings.output}: can move the arm again")
        self._fault = fault
        return fault

    def share(self) -> float:
        """Of the newest command's speed, what the arm's own limits have left."""
        return 1.0 if self._output is None else self._output.share

    def move(self, values: np.ndarray, observation_ns: int, clock_ns: int) -> bool:
        """Sends the arm one command; nothing to an arm of which it is not known where it is. Returns whether it did.

        Args:
            values: (A,) contract units.
            observation_ns: stamp of the observation they answer.
            clock_ns: when they were decided: steady time, in lockstep the stamp of the observation.
        """
        target = self._output.command(values[TWIST], clock_ns) if self._arm is not None else None
        if target is None:
            return False
        self._arm.publish(target, self._stamp(self._settings.output, observation_ns))
        return True

    def grip(self, values: np.ndarray, observation_ns: int) -> None:
        """Sends the gripper one command; arguments as of `move`."""
        if self._gripper is not None:
            position = np.array([self._gripper_position(values[GRIPPER])])
            self._gripper.publish(position, self._stamp(self._settings.gripper_output, observation_ns))

    def _stamp(self, kind: str, observation_ns: int) -> Time:
        policy = self._settings.output_stamp
        # asked for twice in every tick: the clock is read where it is needed only
        now_ns = observation_ns if policy == "observation" else self._node.get_clock().now().nanoseconds
        return stamp_of(policy, kind, observation_ns, now_ns)

    def flush(self) -> None:
        """Waits, not for long, until the robot has the last command: what was lost must be sent again."""
        for part in (self._arm, self._gripper):
            if part is not None:
                part.flush(_LAST_COMMAND_S)

    def summary(self) -> dict[str, str]:
        """Key and value for /diagnostics."""
        if self._output is None:
            return {"output": self._settings.output}
        told = {"output": self._settings.output, "output_fault": self._fault}
        return told | {f"output_{key}": value for key, value in self._output.summary().items()}

    def close(self) -> None:
        """Ends publishers and subscriptions."""
        for part in (self._source, self._arm, self._gripper):
            if part is not None:
                part.close()
