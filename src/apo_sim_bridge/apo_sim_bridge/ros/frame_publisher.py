"""Publishes the frames of the simulation on the topics of a real robot."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from geometry_msgs.msg import PoseArray, PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from apo_core.contract.contract import Contract
from apo_core.ros.conversions import array_to_pose, image_to_msg, to_stamp
from apo_core.ros.qos import COMMANDS
from apo_interfaces.msg import TaskStatus
from apo_sim_bridge.sim.env import SimFrame
from apo_sim_bridge.trial import Trial

GRIPPER_JOINT = "gripper_width"


class FramePublisher:
    """Publishers of /clock, robot state, images and task status; all messages of a frame have one stamp.

    Args:
        node: owner of the publishers.
        contract: names and topics of the images, and the frame of poses.
        qos: of images and robot state.
        perturbation: what the simulation changes, for task/status; empty: nothing.
    """

    def __init__(self, node: Node, contract: Contract, qos: QoSProfile, perturbation: str = ""):
        self._perturbation = perturbation
        self._frame_id = contract.frame_id
        self._images = {spec.name: node.create_publisher(Image, spec.topic, qos) for spec in contract.images}
        self._joints = node.create_publisher(JointState, "joint_states", qos)
        self._gripper = node.create_publisher(JointState, "gripper/joint_states", qos)
        self._pose = node.create_publisher(PoseStamped, "ee_pose", qos)
        self._objects = node.create_publisher(PoseArray, "ground_truth/objects", qos)
        self._status = node.create_publisher(TaskStatus, "task/status", COMMANDS)
        self._clock = node.create_publisher(Clock, "/clock", COMMANDS)

    @property
    def has_pose_subscriber(self) -> bool:
        """Whether a node receives `ee_pose`, as an arbiter does."""
        return self._pose.get_subscription_count() > 0

    def publish(
        self,
        frame: SimFrame,
        trial: Trial,
        remaining_m: float,
        stages: Mapping[str, bool],
        clock_ns: int | None = None,
        *,
        with_images: bool = True,
    ) -> None:
        """Publishes a frame; /clock first, the task status last.

        Args:
            frame: rendered.
            trial: as it was at the frame; its stamp is that of all messages but /clock.
            remaining_m: path left to success [m]; NaN where it is unknown.
            stages: of the task, in order, and whether each is reached.
            clock_ns: time now, if the frame comes late; None: its stamp.
            with_images: False: the images come by `publish_image`.
        """
        header = Header(stamp=to_stamp(trial.stamp_ns), frame_id=self._frame_id)
        self.publish_clock(trial.stamp_ns if clock_ns is None else clock_ns)
        self._joints.publish(joint_state(frame, header))
        self._gripper.publish(JointState(header=header, name=[GRIPPER_JOINT], position=[frame.gripper_width]))
        pose = array_to_pose(np.concatenate([frame.ee_position, frame.ee_quaternion]))
        self._pose.publish(PoseStamped(header=header, pose=pose))
        self._objects.publish(PoseArray(header=header, poses=[array_to_pose(pose) for pose in frame.objects.values()]))
        for name in self._images if with_images else ():
            self.publish_image(name, frame, trial.stamp_ns)
        self._status.publish(task_status(trial, remaining_m, stages, header, self._perturbation))

    def publish_clock(self, stamp_ns: int) -> None:
        """Publishes simulated time alone."""
        self._clock.publish(Clock(clock=to_stamp(stamp_ns)))

    def publish_image(self, name: str, frame: SimFrame, stamp_ns: int) -> None:
        """Publishes one image of a frame, with the frame's own stamp."""
        self._images[name].publish(image_to_msg(frame.images[name], stamp_ns, f"{name}_optical_frame"))


def joint_state(frame: SimFrame, header: Header) -> JointState:
    """Positions [rad] and velocities [rad/s] of the arm's joints."""
    return JointState(
        header=header,
        name=list(frame.joint_names),
        position=frame.joint_positions.tolist(),
        velocity=frame.joint_velocities.tolist(),
    )


def task_status(
    trial: Trial, remaining_m: float, stages: Mapping[str, bool], header: Header, perturbation: str = ""
) -> TaskStatus:
    """State of the trial, with the path left to success [m], the stages reached and what the simulation changes."""
    return TaskStatus(
        header=header,
        seed=trial.seed,
        trial=trial.number,
        step=trial.step,
        remaining=remaining_m,
        stages=list(stages),
        stages_reached=list(stages.values()),
        success=trial.success,
        truncated=trial.truncated,
        running=trial.running,
        last_observation_stamp=to_stamp(trial.last_observation_stamp_ns),
        perturbation=perturbation,
    )
