"""The simulation as a ROS node: the topics of a real robot, /clock, and the state of the task."""

from __future__ import annotations

import math
import os
import time

from geometry_msgs.msg import TwistStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

from apo_core.actions import GripperScale
from apo_core.contract.contract import load_contract
from apo_core.errors import ConfigError
from apo_core.ros.conversions import to_ns, trajectory_end, twist_to_array
from apo_core.ros.node_runner import run
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, sensors
from apo_interfaces.srv import ResetTask
from apo_sim_bridge.config import SimBridgeConfig, sim_config
from apo_sim_bridge.late_ticks import LateTicks, Tick
from apo_sim_bridge.pending_command import Execution, PendingCommand, command_link
from apo_sim_bridge.ros.frame_publisher import GRIPPER_JOINT, FramePublisher
from apo_sim_bridge.sim.env import GRIPPER_CLOSED_M, GRIPPER_OPEN_M, SimEnv
from apo_sim_bridge.sim.ground_truth import task_remaining, task_stages
from apo_sim_bridge.trial import Trial, TrialRules

REJECTIONS = 20  # commands in a row with a wrong stamp after which a warning is logged


class SimBridgeNode(Node):
    """Simulates on one thread, that of its executor: the GL context cannot move to another."""

    def __init__(self) -> None:
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
        self._command = PendingCommand(
            contract.action.low,
            contract.action.high,
            contract.frame_id,
            GripperScale(GRIPPER_OPEN_M, GRIPPER_CLOSED_M),
            round(config.command_timeout_s * 1e9),
        )
        self._shortest_tick_ns = round(contract.period_ns / config.largest_pace) if config.largest_pace else 0
        self._rejected = 0  # commands in a row
        self._frame = self._env.reset(config.seed)
        self._commands = command_link(config.perturbation.streams, config.seed)
        self._next_seed = config.seed
        self._idle_since_ns = time.monotonic_ns()
        self._published_ns: int | None = None  # time at which the current tick was published; None: it was not
        self._tick_stamp_ns = -1  # of the current tick
        self._tick_ns = 0  # steady time at which the current tick was published first
        self._due_stamp_ns: int | None = None  # tick that waits for its time, answered or not to be
        self._late = LateTicks(config.perturbation.streams, contract.image_names)
        self._now = self._late.sense(self._frame, self._trial, math.nan, {})
        self._shown: Tick | None = None  # lockstep: the tick that waits for its answer
        self._due_timer = self.create_timer(1.0, self._on_due, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._due_timer.cancel()
        qos = sensors(config.sensor_reliability)
        self._publisher = FramePublisher(self, contract, qos, config.perturbation.text)
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
        self._command.clear()
        self._commands = command_link(self._config.perturbation.streams, seed)
        self._end_wait()
        self._shown = None
        self._next_seed = seed + 1
        self._published_ns = None
        self._publish_when_subscribed()

    def _on_twist(self, message: TwistStamped) -> None:
        stamp_ns = to_ns(message.header.stamp)
        if not self._is_current(stamp_ns, self._config.command_topic):
            return
        # in lockstep no time goes by within a tick
        received_ns = self._trial.stamp_ns if self._config.lockstep else time.monotonic_ns()
        twist = twist_to_array(message.twist)
        fault = self._command.put_twist(twist, message.header.frame_id, stamp_ns, received_ns)
        self._log_fault(self._config.command_topic, fault, "the arm stands still")
        self._answer(stamp_ns)

    def _on_gripper(self, message: JointTrajectory) -> None:
        stamp_ns = to_ns(message.header.stamp)
        if not self._is_current(stamp_ns, self._config.gripper_topic):
            return
        fault = self._command.put_gripper(trajectory_end(message, GRIPPER_JOINT), stamp_ns)
        self._log_fault(self._config.gripper_topic, fault, "the gripper stays as it is")
        self._answer(stamp_ns)

    def _is_current(self, stamp_ns: int, topic: str) -> bool:
        """Whether a command belongs to the tick, in real time to the trial; a few of the last trial are no fault."""
        trial, shown = self._trial, self._shown
        if self._config.lockstep:
            is_current = trial.running and shown is not None and shown.trial.answers_this_tick(stamp_ns)
        else:
            is_current = trial.belongs(stamp_ns)
        if is_current:
            self._rejected = 0
            return True
        self._rejected += trial.running
        if self._rejected >= REJECTIONS:
            text = f"{topic}: stamp {stamp_ns * 1e-9:.3f} s is not of an observation of this trial, command rejected"
            self.get_logger().warning(text, throttle_duration_sec=5.0)
        return False

    def _log_fault(self, topic: str, fault: str, consequence: str) -> None:
        if fault:
            self.get_logger().error(f"{topic}: {fault}; {consequence}", throttle_duration_sec=1.0)

    def _answer(self, stamp_ns: int) -> None:
        """Lockstep: executes a tick once arm and gripper have answered it, even by rejected commands."""
        if not self._config.lockstep or self._due_stamp_ns == stamp_ns or not self._command.answers(stamp_ns):
            return
        left_ns = self._tick_ns + self._shortest_tick_ns - time.monotonic_ns()
        if left_ns <= 0:
            self._step(self._trial.stamp_ns, stamp_ns)
            return
        self._wait(stamp_ns, left_ns)

    def _wait(self, stamp_ns: int, left_ns: int) -> None:
        self._due_stamp_ns = stamp_ns
        self._due_timer.timer_period_ns = max(left_ns, 1)
        self._due_timer.reset()

    def _on_due(self) -> None:
        """Lockstep: executes a tick whose answer came before its time, or that has none."""
        stamp_ns = self._end_wait()
        if stamp_ns is not None:
            self._step(self._trial.stamp_ns, stamp_ns)

    def _end_wait(self) -> int | None:
        self._due_timer.cancel()
        stamp_ns, self._due_stamp_ns = self._due_stamp_ns, None
        return stamp_ns

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
            self._publish_when_subscribed()
        elif now_ns - self._published_ns > self._config.lockstep_repeat_s * 1e9:
            self.get_logger().warning(f"no command for {self._config.lockstep_repeat_s} s: tick published again")
            self._publish()

    def _step(self, now_ns: int, answered_ns: int = 0) -> None:
        """Executes the newest command; in lockstep even a rejected one answers `answered_ns`."""
        self._shown = None
        newest = self._command.take(now_ns)
        sent = Execution(newest.action, answered_ns or newest.observation_stamp_ns)
        execution = self._commands.through(sent, self._trial.step) if self._commands else sent
        self._frame = self._env.step(execution.action)
        self._trial.advance(self._frame.success, execution.observation_stamp_ns)
        if not self._trial.running:
            self._idle_since_ns = time.monotonic_ns()
        self._publish()

    def _publish_when_subscribed(self) -> None:
        """Lockstep: holds back a trial's first tick until an arbiter can receive and answer it."""
        topics = (self._config.command_topic, self._config.gripper_topic)
        connected = self._publisher.has_pose_subscriber and all(map(self.count_publishers, topics))
        if connected or not self._config.lockstep:
            self._publish()
        else:
            self.get_logger().info(
                f"waits for an arbiter on ee_pose, {topics[0]} and {topics[1]}", throttle_duration_sec=5.0
            )

    def _publish(self) -> None:
        """Publishes what arrives now: the tick at hand, or where frames come late an earlier one, or none."""
        trial, is_new = self._trial, self._trial.stamp_ns != self._tick_stamp_ns
        if is_new:
            self._tick_stamp_ns, self._tick_ns = trial.stamp_ns, time.monotonic_ns()
            task, frame = self._config.task, self._frame
            self._now = self._late.sense(frame, trial, task_remaining(task, frame), task_stages(task, frame))
        if self._config.lockstep:
            self._publish_whole(is_new)
        else:
            images = self._late.images(self._now)
            now = self._now
            self._publisher.publish(self._frame, trial, now.remaining_m, now.stages, with_images=images is None)
            for tick, names in images or ():
                for name in names:
                    self._publisher.publish_image(name, tick.frame, tick.trial.stamp_ns)
        self._published_ns = time.monotonic_ns()

    def _publish_whole(self, is_new: bool) -> None:
        tick = self._late.whole(self._now) if is_new else self._shown
        if tick is None:  # nobody can answer it
            self._publisher.publish_clock(self._trial.stamp_ns)
            self._wait(0, self._tick_ns + self._shortest_tick_ns - time.monotonic_ns())
            return
        self._shown = tick
        self._publisher.publish(tick.frame, tick.trial, tick.remaining_m, tick.stages, self._trial.stamp_ns)


def main() -> None:
    """Console script."""
    raise SystemExit(run(SimBridgeNode))


if __name__ == "__main__":
    main()
