"""The simulation as a ROS node: the topics of a real robot, /clock, and the state of the task."""

from __future__ import annotations

import os
import time

import numpy as np
from geometry_msgs.msg import PoseArray, PoseStamped, TwistStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory

from apo_core.actions import GripperScale
from apo_core.contract.contract import load_contract
from apo_core.errors import ConfigError
from apo_core.ros.conversions import array_to_pose, image_to_msg, to_ns, to_stamp, trajectory_end, twist_to_array
from apo_core.ros.node_runner import run
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, sensors
from apo_interfaces.msg import TaskStatus
from apo_interfaces.srv import ResetTask
from apo_sim_bridge.config import SimBridgeConfig, sim_config
from apo_sim_bridge.demonstrations.collect import task_remaining
from apo_sim_bridge.sim.env import SimEnv, SimFrame
from apo_sim_bridge.trial import CommandInbox, Trial, TrialRules

GRIPPER_JOINT = "gripper_width"
GRIPPER_OPEN_M, GRIPPER_CLOSED_M = 0.08, 0.0
REFUSALS = 20  # commands in a row with a wrong stamp after which that is told


class SimBridgeNode(Node):
    """Simulates on one thread, that of its executor: the GL context cannot move to another."""

    def __init__(self):
        super().__init__("sim_bridge")
        config = self._config = declare(self, SimBridgeConfig)
        contract = self._contract = load_contract(config.contract_file)
        if config.renderer != "auto":
            os.environ["MUJOCO_GL"] = config.renderer
        try:
            self._env = SimEnv(sim_config(config, contract))
        except (RuntimeError, ValueError) as error:
            raise ConfigError("sim_bridge", [str(error)]) from error
        # in real time a bridge that was restarted must not go back in time; in lockstep runs must repeat exactly
        start_ns = 0 if config.lockstep else time.time_ns()
        self._trial = Trial(TrialRules(contract.period_ns, config.horizon, config.success_hold_steps), start_ns)
        self._inbox = CommandInbox(
            contract.action.low,
            contract.action.high,
            contract.frame_id,
            GripperScale(GRIPPER_OPEN_M, GRIPPER_CLOSED_M),
            round(config.command_timeout_s * 1e9),
        )
        self._refused = 0  # commands in a row
        self._frame = self._env.reset(config.seed)
        self._next_seed = config.seed
        self._idle_since_ns = time.monotonic_ns()
        self._published_ns: int | None = None  # when the tick in force went out; None: it has not
        qos = sensors(config.sensor_reliability)
        self._image_pubs = {s.name: self.create_publisher(Image, s.topic, qos) for s in contract.images}
        self._joints_pub = self.create_publisher(JointState, "joint_states", qos)
        self._gripper_pub = self.create_publisher(JointState, "gripper/joint_states", qos)
        self._pose_pub = self.create_publisher(PoseStamped, "ee_pose", qos)
        self._objects_pub = self.create_publisher(PoseArray, "ground_truth/objects", qos)
        self._status_pub = self.create_publisher(TaskStatus, "task/status", COMMANDS)
        self._clock_pub = self.create_publisher(ClockMessage, "/clock", COMMANDS)
        self.create_subscription(TwistStamped, config.command_topic, self._on_twist, COMMANDS)
        self.create_subscription(JointTrajectory, config.gripper_topic, self._on_gripper, COMMANDS)
        self.create_service(ResetTask, "~/reset", self._on_reset)
        self.create_timer(1.0 / contract.rate_hz, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))
        mode = "lockstep" if config.lockstep else "real time"
        self.get_logger().info(
            f"{config.task} at {contract.rate_hz:g} Hz, {mode}, rendered by {os.environ['MUJOCO_GL']}"
        )

    def close(self) -> None:
        """Frees the simulation."""
        self._env.close()

    def _on_reset(self, request: ResetTask.Request, response: ResetTask.Response) -> ResetTask.Response:
        if request.seed < 0:
            response.message = f"seed = {request.seed} must be at least 0"
            return response
        self._start_trial(request.seed)
        response.accepted = True
        return response

    def _start_trial(self, seed: int) -> None:
        self._frame = self._env.reset(seed)
        self._trial.reset(seed, None if self._config.lockstep else time.time_ns())
        self._inbox.clear()
        self._next_seed = seed + 1
        self._published_ns = None
        self._publish_when_heard()

    def _on_twist(self, message: TwistStamped) -> None:
        stamp_ns = to_ns(message.header.stamp)
        if not self._is_current(stamp_ns, self._config.command_topic):
            return
        # in lockstep no time goes by within a tick
        received_ns = stamp_ns if self._config.lockstep else time.monotonic_ns()
        twist = twist_to_array(message.twist)
        fault = self._inbox.put_twist(twist, message.header.frame_id, stamp_ns, received_ns)
        self._refuse(self._config.command_topic, fault, "the arm stands still")
        self._answer(stamp_ns)

    def _on_gripper(self, message: JointTrajectory) -> None:
        stamp_ns = to_ns(message.header.stamp)
        if not self._is_current(stamp_ns, self._config.gripper_topic):
            return
        fault = self._inbox.put_gripper(trajectory_end(message, GRIPPER_JOINT), stamp_ns)
        self._refuse(self._config.gripper_topic, fault, "the gripper stays as it is")
        self._answer(stamp_ns)

    def _is_current(self, stamp_ns: int, topic: str) -> bool:
        """Whether a command belongs to the tick, in real time to the trial; a few of the trial before are no fault."""
        trial = self._trial
        if trial.answers_this_tick(stamp_ns) if self._config.lockstep else trial.belongs(stamp_ns):
            self._refused = 0
            return True
        self._refused += trial.running
        if self._refused >= REFUSALS:
            text = f"{topic}: stamp {stamp_ns * 1e-9:.3f} s is not of an observation of this trial, command refused"
            self.get_logger().warning(text, throttle_duration_sec=5.0)
        return False

    def _refuse(self, topic: str, fault: str, consequence: str) -> None:
        if fault:
            self.get_logger().error(f"{topic}: {fault}; {consequence}", throttle_duration_sec=1.0)

    def _answer(self, stamp_ns: int) -> None:
        """Lockstep: a tick is executed once arm and gripper have answered it, even with what was refused."""
        if self._config.lockstep and self._inbox.answers(stamp_ns):
            self._step(stamp_ns, stamp_ns)

    def _on_timer(self) -> None:
        now_ns = time.monotonic_ns()
        if not self._trial.running:
            if self._config.auto_reset and now_ns - self._idle_since_ns >= self._config.auto_reset_delay_s * 1e9:
                self._start_trial(self._next_seed)
            elif not self._config.lockstep:
                self._trial.idle()
                self._publish()
        elif not self._config.lockstep:
            self._step(now_ns)
        elif self._published_ns is None:
            self._publish_when_heard()
        elif now_ns - self._published_ns > self._config.lockstep_repeat_s * 1e9:
            self.get_logger().warning(f"no command for {self._config.lockstep_repeat_s} s: tick published again")
            self._publish()

    def _step(self, now_ns: int, answered_ns: int = 0) -> None:
        """Executes the newest command; in lockstep `answered_ns` is answered even by a command that was refused."""
        execution = self._inbox.take(now_ns)
        self._frame = self._env.step(execution.action)
        self._trial.advance(self._frame.success, answered_ns or execution.observation_stamp_ns)
        if not self._trial.running:
            self._idle_since_ns = time.monotonic_ns()
        self._publish()

    def _publish_when_heard(self) -> None:
        """Lockstep: holds back a trial's first tick until somebody is there who could answer it."""
        topics = (self._config.command_topic, self._config.gripper_topic)
        heard = self._pose_pub.get_subscription_count() and all(map(self.count_publishers, topics))
        if heard or not self._config.lockstep:
            self._publish()
        else:
            self.get_logger().info(
                f"waits for an arbiter on ee_pose, {topics[0]} and {topics[1]}", throttle_duration_sec=5.0
            )

    def _publish(self) -> None:
        frame, trial = self._frame, self._trial
        header = Header(stamp=to_stamp(trial.stamp_ns), frame_id=self._contract.frame_id)
        self._clock_pub.publish(ClockMessage(clock=header.stamp))
        self._publish_state(frame, header)
        for name, publisher in self._image_pubs.items():
            publisher.publish(image_to_msg(frame.images[name], trial.stamp_ns, f"{name}_optical_frame"))
        self._status_pub.publish(
            TaskStatus(
                header=header,
                seed=trial.seed,
                trial=trial.number,
                step=trial.step,
                remaining=task_remaining(self._config.task, frame),
                success=trial.success,
                truncated=trial.truncated,
                running=trial.running,
                last_observation_stamp=to_stamp(trial.last_observation_stamp_ns),
            )
        )
        self._published_ns = time.monotonic_ns()

    def _publish_state(self, frame: SimFrame, header: Header) -> None:
        self._joints_pub.publish(
            JointState(
                header=header,
                name=list(frame.joint_names),
                position=frame.joint_positions.tolist(),
                velocity=frame.joint_velocities.tolist(),
            )
        )
        self._gripper_pub.publish(JointState(header=header, name=[GRIPPER_JOINT], position=[frame.gripper_width]))
        pose = array_to_pose(np.concatenate([frame.ee_position, frame.ee_quaternion]))
        self._pose_pub.publish(PoseStamped(header=header, pose=pose))
        self._objects_pub.publish(
            PoseArray(header=header, poses=[array_to_pose(values) for values in frame.objects.values()])
        )


def main() -> None:
    """Console script."""
    raise SystemExit(run(SimBridgeNode))


if __name__ == "__main__":
    main()
