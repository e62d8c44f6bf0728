"""The arbiter as a ROS node: newest inputs in, one command a tick out, a takeover at once."""

from __future__ import annotations

import time

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.clock import Clock, ClockType
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from apo_core.contract import load_contract
from apo_core.gripper import GripperScale
from apo_core.ros.chunk_message import chunk_from_msg
from apo_core.ros.control_messages import command_to_msg, shadow_of, status_to_msg
from apo_core.ros.conversions import to_ns
from apo_core.ros.diagnostics import ERROR, OK, WARN, diagnostic_array
from apo_core.ros.lifecycle import LifecycleBase
from apo_core.ros.node_main import event_driven, run
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_core.ros.robot_output import RobotOutput
from apo_core.types import ControlSource
from apo_interfaces.msg import ActionChunk, ActionCommand, AdapterStatus, ControlStatus, OperatorCommand
from apo_teleop.arbiter import Arbiter
from apo_teleop.arbiter_config import ArbiterConfig
from apo_teleop.arbiter_types import ControlState, Decision
from apo_teleop.control_loop import ControlLoop
from apo_teleop.estop import EstopSignal
from apo_teleop.outputs import make_output
from apo_teleop.watchdogs import UnnamedFrames

_ESTOP = "estop"
_DEADLINE_CHECK_S = 0.02


class ArbiterNode(LifecycleBase):
    """Converts messages for a ControlLoop and publishes what it decides."""

    def __init__(self):
        super().__init__("arbiter")
        self._config = declare(self, ArbiterConfig)
        self._with_info = not event_driven(self)  # as the executor was chosen, whatever use_sim_time becomes later
        self._arbiter: Arbiter | None = None
        self._loop: ControlLoop | None = None
        self._estop = EstopSignal()
        self._command_pub = self.create_publisher(ActionCommand, "command", COMMANDS)
        self._shadow_pub = self.create_publisher(ActionCommand, "shadow_action", COMMANDS)
        self._status_pub = self.create_publisher(ControlStatus, "control/status", COMMANDS)
        self._diagnostics_pub = self.create_publisher(DiagnosticArray, "/diagnostics", COMMANDS)
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_service(Trigger, "~/clear", self._on_clear)
        self.create_service(Trigger, "~/estop", self._on_estop_service)
        self.create_service(Trigger, "~/hand_back", self._on_hand_back)
        # heard whether or not the arbiter is active, and whatever the publisher's QoS: what is said from now on
        # (COMMANDS), what was said before it started (LATCHED), and a publisher that is best effort
        for qos in (COMMANDS, LATCHED, sensors("best_effort")):
            self.create_subscription(Bool, _ESTOP, self._on_estop, qos)

    def configure(self) -> None:
        self._contract = load_contract(self._config.contract_file)
        stopped = self._arbiter is not None and self._arbiter.estopped
        self._arbiter = Arbiter(self._config, self._contract)
        if stopped:
            self._arbiter.estop()  # only a person ends it
        gripper = GripperScale(self._config.gripper_open_m, self._config.gripper_closed_m)
        output = make_output(self._config, self._contract)
        self._robot = RobotOutput(self, self._config, self._contract, output, gripper.position)
        for key in self._contract.limits.absent:
            self.get_logger().warning(f"{key} is not set in {self._contract.source}: no such limit applies")

    def activate(self) -> None:
        config = self._config
        self._loop = ControlLoop(self._arbiter, config, self._contract, self._estop, self._robot.fault)
        self._robot.restart()
        self._device_wall_ns = self._pose_steady_ns = 0
        self._unnamed = UnnamedFrames(self._contract)
        pose = self._contract.state_spec("ee_pose")
        measured, feedback = sensors(config.sensor_reliability), self._contract.feedback
        on_operator = self._on_operator_with_info if self._with_info else self._on_operator
        # of two messages that wait, the announcement of an adapter comes before its chunk
        self._inputs = [
            self.create_subscription(AdapterStatus, "policy/adapter_status", self._on_adapter, LATCHED),
            self.create_subscription(PoseStamped, pose.topic, self._on_pose, measured),
            self.create_subscription(ActionChunk, "policy/chunk", self._on_chunk, COMMANDS),
            self.create_subscription(OperatorCommand, "operator/command", on_operator, COMMANDS),
        ]
        if feedback is not None:
            self._inputs.append(self.create_subscription(TwistStamped, feedback.topic, self._on_feedback, measured))
        self._ticker, *_ = self._tickers = [
            self.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))
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
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._publish(self._loop.stop(self._now_ns(), time.monotonic_ns()))
        self._robot.flush()

    def cleanup(self) -> None:
        self._robot.close()

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _header(self, what: str, message) -> tuple[int, str]:
        """Stamp and frame of an input; that it names no frame is told once."""
        frame_id = message.header.frame_id
        if text := self._unnamed.warning(what, frame_id):
            self.get_logger().warning(text)
        return to_ns(message.header.stamp), frame_id

    # Each input is checked for being active: messages that wait already still come after the last command.

    def _on_pose(self, message: PoseStamped) -> None:
        if not self.is_active:
            return
        self._pose_steady_ns = time.monotonic_ns()
        p = message.pose.position
        stamp_ns, frame_id = self._header("ee_pose", message)
        self._publish(self._loop.on_pose(stamp_ns, (p.x, p.y, p.z), self._pose_steady_ns, frame_id))

    def _on_feedback(self, message: TwistStamped) -> None:
        if not self.is_active:
            return
        v, w = message.twist.linear, message.twist.angular
        stamp_ns, frame_id = self._header("feedback", message)
        self._loop.on_feedback(stamp_ns, (v.x, v.y, v.z, w.x, w.y, w.z), time.monotonic_ns(), frame_id)

    def _on_adapter(self, message: AdapterStatus) -> None:
        if not self.is_active:
            return
        self._publish(self._loop.on_adapter((message.version,), time.monotonic_ns()))

    def _on_chunk(self, message: ActionChunk) -> None:
        if not self.is_active:
            return
        answered_ns, frame_id = self._header("policy/chunk", message)
        chunk, steady_ns = chunk_from_msg(message), time.monotonic_ns()
        self._publish(self._loop.on_chunk(answered_ns, chunk, message.fault, steady_ns, frame_id))

    def _on_operator_with_info(self, message: OperatorCommand, info: dict) -> None:
        # simulated time is too coarse to measure with; then DDS's stamp of the sending counts
        self._take_operator(message, info["source_timestamp"] if self.get_clock().ros_time_is_active else None)

    def _on_operator(self, message: OperatorCommand) -> None:
        self._take_operator(message, None)

    def _take_operator(self, message: OperatorCommand, sent_ns: int | None) -> None:
        if not self.is_active:
            return
        stamp_ns, frame_id = self._header("operator/command", message)
        self._device_wall_ns = stamp_ns if sent_ns is None else sent_ns
        decision = self._loop.on_operator(
            stamp_ns,
            message.connected,
            message.active,
            np.array(message.values, np.float32),
            tuple(message.events),
            self._now_ns(),
            time.monotonic_ns(),
            frame_id,
        )
        self._publish_between(decision)

    def _on_estop(self, message: Bool) -> None:
        if self.is_active:
            self._publish_between(self._loop.on_estop(message.data, self._now_ns(), time.monotonic_ns()))
            return
        self._estop.hear(message.data, time.monotonic_ns())
        if message.data and self._arbiter is not None:
            self._arbiter.estop()

    def _on_timer(self) -> None:
        if self.is_active:
            self._publish(self._loop.on_timer(self._now_ns(), time.monotonic_ns()))

    def _publish_between(self, decision: Decision | None) -> None:
        """Publishes what could not wait for the tick; the next tick is a period later."""
        self._publish(decision)
        if decision is not None and not self._config.lockstep:
            self._ticker.reset()

    def _publish(self, decision: Decision | None) -> None:
        """Moves the robot first; all that is only told comes after it."""
        if decision is None:
            return
        clock_ns = decision.observation_stamp if self._config.lockstep else time.monotonic_ns()
        self._robot.move(decision.values, decision.observation_stamp, clock_ns)
        record, now_ns = self._loop.record, self._now_ns()
        message = command_to_msg(decision, record.ticks, now_ns, self._contract.frame_id)
        self._command_pub.publish(message)
        if decision.takeover:
            record.latency.add(time.time_ns() - self._device_wall_ns)
        if self._loop.moves_gripper:
            self._robot.grip(decision.values, decision.observation_stamp)
        shadow = shadow_of(message)
        if shadow is not None:
            self._shadow_pub.publish(shadow)
        response_ns = time.monotonic_ns() - self._pose_steady_ns if self._pose_steady_ns else None
        status = status_to_msg(decision, record, self._loop.ticks_missed, response_ns, now_ns)
        self._status_pub.publish(status)
        if record.changed:
            self._log(decision)

    def _log(self, decision: Decision) -> None:
        text = f"{decision.state}: {decision.reason} {decision.detail}{', until cleared' * decision.latched}"
        if decision.source is ControlSource.HOLD and decision.state is not ControlState.IDLE:
            self.get_logger().warning(text)
        else:
            self.get_logger().info(text)

    def _count_publishers(self) -> None:
        # the images are the policy's input; joint states may come from several drivers; on the output this node is one
        topics = [subscription.topic_name for subscription in self._inputs]
        others = [*(image.topic for image in self._contract.images), *self._robot.topics]
        # counting applies no remapping
        topics += [self._command_pub.topic_name, *map(self.resolve_topic_name, others)]
        self._loop.on_duplicate(next((topic for topic in topics if self.count_publishers(topic) > 1), ""))
        self._estop.count(self.count_publishers(self.resolve_topic_name(_ESTOP)))

    def _publish_diagnostics(self) -> None:
        decision = self._loop.record.decision
        level, message = WARN, "waits for its first tick"
        if decision is not None:
            level = ERROR if decision.latched else WARN if decision.state is ControlState.HOLD else OK
            message = f"{decision.state}: {decision.reason}"
        summary = self._loop.summary(time.monotonic_ns()) | self._robot.summary()
        self._diagnostics_pub.publish(diagnostic_array(self, level, message, summary))

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        response.success, response.message = self.is_active, "" if self.is_active else "the arbiter is not active"
        if self.is_active:
            self._arbiter.enable(request.data)
        return response

    def _on_clear(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._arbiter is not None
        if self._arbiter is not None:
            cleared, refused = self._arbiter.clear()
            response.success = not refused
            response.message = refused or (f"cleared {cleared}" if cleared else "nothing was latched")
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
    raise SystemExit(run(ArbiterNode, events=True))


if __name__ == "__main__":
    main()
