"""The arbiter as a ROS node: newest inputs in, one command a tick out, a takeover at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from std_srvs.srv import SetBool, Trigger

from apo_core.actions import GripperScale
from apo_core.contract.contract import load_contract
from apo_core.ros.diagnostics import diagnostic_array
from apo_core.ros.lifecycle import LifecycleBase
from apo_core.ros.node_runner import event_driven, run
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, sensors
from apo_interfaces.msg import ActionCommand, ControlStatus
from apo_teleop.arbiter.arbiter import Arbiter
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.control_loop import ControlLoop
from apo_teleop.arbiter.transition_log import TransitionLog
from apo_teleop.arbiter.types import Decision
from apo_teleop.nonblocking_output import nonblocking_output
from apo_teleop.outputs.factory import make_output
from apo_teleop.ros.arbiter_inputs import ArbiterSubscriptions
from apo_teleop.ros.arbiter_messages import command_to_msg, health_of, shadow_of, status_to_msg
from apo_teleop.ros.estop_topic import EstopTopic
from apo_teleop.ros.input_watch import InputWatch
from apo_teleop.ros.robot_output import RobotOutput

_DEADLINE_CHECK_S = 0.02
# Scheduling yield after a takeover's command: on busy cores its receiver waits for this thread's core otherwise.
# bench_takeover measures the latency with it; sched_yield is too short, since the middleware's thread runs in between.
_SCHEDULING_YIELD_S = 0.0005
# a log file would make the thread that moves the robot wait for the disk; launch and `apo up` keep what is printed
_LOG_ARGUMENTS = ("--ros-args", "--disable-external-lib-logs")


class ArbiterNode(LifecycleBase):
    """Converts messages for a ControlLoop and publishes its decisions."""

    def __init__(self) -> None:
        super().__init__("arbiter")
        self._config = declare(self, ArbiterConfig)
        self.realtime_priority = self._config.realtime_priority
        self._with_info = not event_driven(self)  # as the executor was chosen, whatever use_sim_time becomes later
        self._arbiter: Arbiter | None = None
        self._loop: ControlLoop  # while the node is active
        self._command_pub = self.create_publisher(ActionCommand, "command", COMMANDS)
        self._shadow_pub = self.create_publisher(ActionCommand, "shadow_action", COMMANDS)
        self._status_pub = self.create_publisher(ControlStatus, "control/status", COMMANDS)
        self._diagnostics_pub = self.create_publisher(DiagnosticArray, "/diagnostics", COMMANDS)
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_service(Trigger, "~/clear", self._on_clear)
        self.create_service(Trigger, "~/estop", self._on_estop_service)
        self.create_service(Trigger, "~/hand_back", self._on_hand_back)
        self._estop = EstopTopic(self, self._on_estop)  # whether or not the arbiter is active

    def configure(self) -> None:
        self._contract = load_contract(self._config.contract_file)
        stopped = self._arbiter is not None and self._arbiter.estopped
        self._arbiter = Arbiter(self._config, self._contract)
        if stopped:
            self._arbiter.estop()  # only a person ends it
        self._gripper = GripperScale(self._config.robot.gripper_open_m, self._config.robot.gripper_closed_m)
        output = make_output(self._config.robot, self._contract)
        self._robot = RobotOutput(self, self._config, self._contract, output, self._gripper.position)
        for key in self._contract.limits.absent:
            self.get_logger().warning(f"{key} is not set in {self._contract.source}: no such limit applies")

    def activate(self) -> None:
        config = self._config
        assert self._arbiter is not None  # a node is configured before it is activated
        robot = self._robot
        self._loop = ControlLoop(
            self._arbiter, config, self._contract, self._estop.signal, robot.fault, robot.share, robot.on_pose
        )
        robot.restart()
        measured = sensors(config.sensor_reliability)
        self._inputs = ArbiterSubscriptions(
            self,
            self._contract,
            measured,
            self._loop,
            self._publish,
            self._publish_between,
            self._with_info,
            # a simulation in lockstep gets every command, its gripper's too
            None if config.lockstep else self._on_gripper,
        )
        self._watch = InputWatch(self, self._inputs.measured | robot.measured, measured, config.lockstep)
        self._transition_log = TransitionLog()
        self._ticker, *_ = self._tickers = [
            self.create_timer(
                period_s, partial(self._if_active, callback), clock=Clock(clock_type=ClockType.STEADY_TIME)
            )
            for period_s, callback in (
                (_DEADLINE_CHECK_S if config.lockstep else self._contract.period_ns * 1e-9, self._on_timer),
                (1.0, self._publish_diagnostics),
                (config.publisher_check_s, self._count_publishers),
            )
        ]
        self._count_publishers()

    def deactivate(self) -> None:
        for timer in self._tickers:
            self.destroy_timer(timer)
        self._inputs.close()
        self._publish(self._loop.stop(self._now_ns(), time.monotonic_ns()))
        self._robot.flush()

    def cleanup(self) -> None:
        self._robot.close()

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def close(self) -> None:
        """Ends the reader of the emergency stop."""
        self._estop.close()

    def _on_estop(self, stop: bool) -> None:
        if self.is_active:
            self._publish_between(self._loop.on_estop(stop, self._now_ns(), time.monotonic_ns()))
            return
        self._estop.signal.on_message(stop, time.monotonic_ns())
        if stop and self._arbiter is not None:
            self._arbiter.estop()

    def _on_gripper(self, position: float) -> None:
        if self._arbiter is not None:
            self._arbiter.on_gripper(self._gripper.value(position))

    def _if_active(self, callback: Callable[[], None]) -> None:
        """A timer that ran out just before the deactivation destroyed it still calls."""
        if self.is_active:
            callback()

    def _on_timer(self) -> None:
        self._estop.read()
        self._publish(self._loop.on_timer(self._now_ns(), time.monotonic_ns()))

    def _publish_between(self, decision: Decision | None) -> None:
        """Publishes what could not wait for the tick; the next tick is a period later."""
        self._publish(decision)
        if decision is not None and not self._config.lockstep:
            self._ticker.reset()

    def _publish(self, decision: Decision | None) -> None:
        """Moves the robot first, then publishes and logs."""
        if decision is None:
            return
        clock_ns = decision.observation_stamp_ns if self._config.lockstep else time.monotonic_ns()
        moved = self._robot.move(decision.values, decision.observation_stamp_ns, clock_ns)
        if moved:
            self._end_takeover(decision)
        record, now_ns = self._loop.record, self._now_ns()
        message = command_to_msg(decision, record.ticks, now_ns, self._contract.frame_id)
        self._command_pub.publish(message)
        if not moved:  # the readers of this topic are the only receivers
            self._end_takeover(decision)
        if self._loop.moves_gripper:
            self._robot.grip(decision.values, decision.observation_stamp_ns)
        shadow = shadow_of(message)
        if shadow is not None:
            self._shadow_pub.publish(shadow)
        arrived_ns = self._inputs.pose_steady_ns
        response_ns = time.monotonic_ns() - arrived_ns if arrived_ns else None
        self._status_pub.publish(status_to_msg(decision, record, self._loop.ticks_missed, response_ns, now_ns))
        if record.changed:
            self._log(decision)

    def _end_takeover(self, decision: Decision) -> None:
        """The operator's first command is out: measures how long it took, and yields the core to its receiver."""
        if decision.takeover:
            self._loop.record.latency.add(time.time_ns() - self._inputs.device_wall_ns)
            time.sleep(_SCHEDULING_YIELD_S)

    def _log(self, decision: Decision) -> None:
        text = self._transition_log.on_change(decision, time.monotonic_ns())
        # rclpy allows one severity for each line of code
        if text and decision.is_stop:
            self.get_logger().warning(text)
        elif text:
            self.get_logger().info(text)

    def _count_publishers(self) -> None:
        # the images are the policy's input; joint states may come from several drivers; on the output this node is one
        others = [*(image.topic for image in self._contract.images), *self._robot.topics]
        # counting applies no remapping
        topics = [*self._inputs.topics, self._command_pub.topic_name, *map(self.resolve_topic_name, others)]
        self._loop.on_duplicate(next((topic for topic in topics if self.count_publishers(topic) > 1), ""))
        self._loop.on_operator_publishers(self.count_publishers(self._inputs.operator_topic))
        self._estop.count()

    def _publish_diagnostics(self) -> None:
        if counted := self._transition_log.counted(time.monotonic_ns()):
            self.get_logger().warning(counted)
        faults = self._watch.faults(self._inputs.arrivals | self._robot.arrivals, self._robot.hints)
        for line in self._watch.begun(faults):
            self.get_logger().warning(line)
        level, message = health_of(self._loop.record.decision, faults)
        summary = self._loop.summary(time.monotonic_ns()) | self._robot.summary()
        self._diagnostics_pub.publish(diagnostic_array(self, level, message, summary))

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        response.success, response.message = self.is_active, "" if self.is_active else "the arbiter is not active"
        if self.is_active and self._arbiter is not None:
            self._arbiter.enable(request.data)
        return response

    def _on_clear(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._arbiter is not None
        if self._arbiter is not None:
            cleared = self._arbiter.clear(self._estop.held())
            response.success, response.message = not cleared.rejected, cleared.text
        return response

    def _on_hand_back(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._arbiter is not None and self._arbiter.hand_back()
        response.message = "" if response.success else "no operator is in control"
        return response

    def _on_estop_service(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._arbiter is not None
        if self._arbiter is not None:
            self._arbiter.estop()
        if self.is_active and not self._config.lockstep:
            self._publish_between(self._loop.tick(self._now_ns(), time.monotonic_ns()))
        return response


def main() -> None:
    """Console script."""
    with nonblocking_output():  # a log that nobody reads must not silence it
        status = run(ArbiterNode, [*sys.argv, *_LOG_ARGUMENTS], events=True)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
