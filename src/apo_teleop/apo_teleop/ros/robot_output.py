"""Sends the robot what an output computes for each command; passes the robot's reports to the output."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.node import Node

from apo_core.actions import GRIPPER, TWIST
from apo_core.contract.contract import Contract
from apo_core.ros.qos import sensors
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.outputs.base import ArmOutput
from apo_teleop.outputs.config import JOINT_OUTPUTS
from apo_teleop.ros.input_watch import Arrival, MeasuredStream
from apo_teleop.ros.robot_messages import RobotCommandPublisher, RobotStateSubscriber, measured_ns, stamp_of

_LAST_COMMAND_S = 0.3
_JOINTS = "joint_position"


class RobotOutput:
    """One message to the arm and one to the gripper for every command, apart: the arm must not wait for the other.

    Args:
        node: owns publishers and subscriptions.
        config: kinds, topics, frame, stamps.
        contract: frame, topic of the joint states.
        output: computes the arm's value; None sends the arm nothing.
        gripper_position: position [m] of the gripper's value in an action.
    """

    def __init__(
        self,
        node: Node,
        config: ArbiterConfig,
        contract: Contract,
        output: ArmOutput | None,
        gripper_position: Callable[[float], float],
    ):
        self._node, self._config, self._output, self._lockstep = node, config.robot, output, config.lockstep
        self._gripper_position = gripper_position
        self._fault = ""
        robot, kind = config.robot, config.robot.output
        frame = robot.output_frame or contract.frame_id
        self._uses_pose = kind == "pose" or kind in JOINT_OUTPUTS
        self._arm = self._gripper = self._state = None
        if output is not None:
            self._arm = RobotCommandPublisher(
                node, kind, robot.output_topic, frame, output.joints, robot.trajectory_time_s
            )
        if robot.gripper_output != "none":
            self._gripper = RobotCommandPublisher(
                node,
                robot.gripper_output,
                robot.gripper_topic,
                frame,
                robot.gripper_joints,
                robot.trajectory_time_s,
            )
        self.measured: dict[str, MeasuredStream] = {}  # what the output needs of the robot, beside its pose
        if kind in JOINT_OUTPUTS and output is not None:
            joints = contract.state_spec(_JOINTS)
            self.measured = {_JOINTS: MeasuredStream(joints.topic, joints.type)}
            self._state = RobotStateSubscriber(
                node,
                joints,
                sensors(config.sensor_reliability),
                output,
                "" if robot.urdf_file else robot.robot_description_topic,
                config.lockstep,
            )

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics that this node alone may publish on."""
        return tuple(part.topic for part in (self._arm, self._gripper) if part is not None)

    @property
    def arrivals(self) -> dict[str, Arrival]:
        """The newest message of each of `measured`."""
        arrival = self._state.arrival if self._state is not None else None
        return {} if arrival is None else {_JOINTS: arrival}

    @property
    def hints(self) -> dict[str, str]:
        """What comes in place of messages of `measured` that are missing."""
        return {_JOINTS: self._state.others} if self._state is not None else {}

    def restart(self) -> None:
        """Control begins (again)."""
        if self._output is not None:
            self._output.restart()

    def on_pose(self, stamp_ns: int, position: Sequence[float], quaternion: Sequence[float]) -> None:
        """The end effector as measured at a ROS time: (3,) m, (4,) xyzw, in the contract's frame."""
        if self._uses_pose and self._output is not None:
            taken_ns = measured_ns(self._node, stamp_ns, self._lockstep)
            self._output.on_pose(np.array(position, np.float64), np.array(quaternion, np.float64), taken_ns)

    def fault(self, clock_ns: int) -> str:
        """Why the arm cannot be moved now; empty when it can. Logged when it begins and ends.

        Args:
            clock_ns: steady time, in lockstep the stamp of the tick's observation.
        """
        fault = self._output.fault(clock_ns) if self._output is not None else ""
        if bool(fault) != bool(self._fault):
            logger = self._node.get_logger()
            if fault:
                logger.error(f"output {self._config.output}: {fault}")
            else:
                logger.info(f"output {self._config.output}: can move the arm again")
        self._fault = fault
        return fault

    def share(self) -> float:
        """Share of the newest command's speed that the arm's own limits have left, 0..1."""
        return 1.0 if self._output is None else self._output.share

    def move(self, values: np.ndarray, observation_ns: int, clock_ns: int) -> bool:
        """Sends the arm one command; nothing to an arm at an unknown place. Returns whether it did.

        Args:
            values: (A,) contract units.
            observation_ns: stamp of the observation they answer.
            clock_ns: when they were decided: steady time, in lockstep the stamp of the observation.
        """
        if self._arm is None or self._output is None:
            return False
        target = self._output.command(values[TWIST], clock_ns)
        if target is None:
            return False
        self._arm.publish(target, self._stamp(self._config.output, observation_ns))
        return True

    def grip(self, values: np.ndarray, observation_ns: int) -> None:
        """Sends the gripper one command; arguments as of `move`."""
        if self._gripper is not None:
            count = len(self._config.gripper_joints) if self._config.gripper_output == "joint_trajectory" else 1
            positions = np.full(count, self._gripper_position(values[GRIPPER]))
            self._gripper.publish(positions, self._stamp(self._config.gripper_output, observation_ns))

    def _stamp(self, kind: str, observation_ns: int) -> Time:
        policy = self._config.output_stamp
        # called twice in every tick: reads the clock only where it is needed
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
            return {"output": self._config.output}
        summary = {"output": self._config.output, "output_fault": self._fault}
        return summary | {f"output_{key}": value for key, value in self._output.summary().items()}

    def close(self) -> None:
        """Ends publishers and subscriptions."""
        for part in (self._state, self._arm, self._gripper):
            if part is not None:
                part.close()
