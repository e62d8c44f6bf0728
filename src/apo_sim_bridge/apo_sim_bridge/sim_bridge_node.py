"""The simulation as a ROS node: the topics of a real robot, /clock, and the state of the task."""

from __future__ import annotations

import os
import time

import numpy as np
from geometry_msgs.msg import PoseArray, PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from apo_core.contract import load_contract
from apo_core.errors import ConfigError
from apo_core.ros.conversions import array_to_pose, image_to_msg, to_ns, to_stamp
from apo_core.ros.node_main import run
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, sensors
from apo_interfaces.msg import ActionCommand, TaskStatus
from apo_interfaces.srv import ResetTask
from apo_sim_bridge.bridge_config import SimBridgeConfig, sim_config
from apo_sim_bridge.sim_env import SimEnv, SimFrame
from apo_sim_bridge.trial import CommandInbox, Trial, TrialRules

GRIPPER_JOINT = "gripper_width"


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
        self._inbox = CommandInbox(contract.action.low, contract.action.high, round(config.command_timeout_s * 1e9))
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
        self.create_subscription(ActionCommand, "command", self._on_command, COMMANDS)
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

    def _on_command(self, message: ActionCommand) -> None:
        stamp_ns, now_ns = to_ns(message.observation_stamp), time.monotonic_ns()
        lockstep = self._config.lockstep
        if not (self._trial.answers_this_tick(stamp_ns) if lockstep else self._trial.belongs(stamp_ns)):
            return
        fault = self._inbox.put(message.values, stamp_ns, now_ns)
        if fault:
            self.get_logger().error(f"command {message.tick} {fault}; the arm stands still", throttle_duration_sec=1.0)
        if lockstep:
            self._step(now_ns, stamp_ns)

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
        heard = self._pose_pub.get_subscription_count() and self.count_publishers("command")
        if heard or not self._config.lockstep:
            self._publish()
        else:
            self.get_logger().info("waits for an arbiter on ee_pose and command", throttle_duration_sec=5.0)

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
