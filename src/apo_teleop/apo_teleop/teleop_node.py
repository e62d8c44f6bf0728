"""The operator's device as a ROS node: what the operator wants, in contract units."""

from __future__ import annotations

import time
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy
from std_srvs.srv import SetBool

from apo_core.contract.contract import load_contract
from apo_core.errors import ConfigError, ObservationError
from apo_core.ros.conversions import pose_to_array, state_from_msg, to_floats, to_ns, to_stamp
from apo_core.ros.diagnostics import OK, WARN, diagnostic_array
from apo_core.ros.node_runner import run
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, sensors
from apo_core.tasks.expert import ExpertInput
from apo_interfaces.msg import OperatorCommand, TaskStatus
from apo_teleop.devices.config import JOY, KEYBOARD, NONE, SCRIPTED, TeleopConfig, choose_device
from apo_teleop.devices.device import Device
from apo_teleop.devices.joy import JoyConfig, JoyDevice
from apo_teleop.devices.keyboard import Keyboard
from apo_teleop.devices.mapping import AxisMapping, MappingConfig, OperatorSample
from apo_teleop.devices.profiles import ProfileConfig, Profiles
from apo_teleop.devices.publication import OperatorPublication
from apo_teleop.devices.reader import DeviceReader, NoDevice
from apo_teleop.devices.scripted_operator import ScriptedConfig, ScriptedDevice, ScriptedInput, see_objects
from apo_teleop.devices.scripted_tick_join import TickJoin
from apo_teleop.devices.spacemouse import SpaceMouse, is_attached

_PUBLISHER_CHECK_S = 0.1


class TeleopNode(Node):
    """Publishes samples of one device: a real one read by a thread, or the scripted operator answering every tick."""

    def __init__(self):
        super().__init__("teleop")
        config = self._config = declare(self, TeleopConfig)
        self._mapping, self._joy_config = declare(self, MappingConfig), declare(self, JoyConfig)
        self._profiles, self._scripted = Profiles(declare(self, ProfileConfig)), declare(self, ScriptedConfig)
        self._contract = load_contract(config.contract_file)
        if self._contract.action.size != 7:
            raise ConfigError(
                self._contract.source, [f"action has {self._contract.action.size} values, devices give 7"]
            )
        self._command_pub = self.create_publisher(OperatorCommand, "operator/command", COMMANDS)
        self.create_service(SetBool, "~/enable", self._on_enable)
        simulated = self.get_parameter("use_sim_time").value
        attached = partial(is_attached, self._profiles, config.spacemouse_model, self.get_logger().info)
        self._device = choose_device(config.device, simulated, attached, self._is_joy_published)
        self.get_logger().info(f"the operator's device is {self._device}")
        self._reader: DeviceReader | None = None
        if self._device == SCRIPTED:
            self._watch_ticks()
        else:
            self._read_device()
        self._diagnostics_pub = self.create_publisher(DiagnosticArray, "/diagnostics", COMMANDS)
        self._every(1.0, self._publish_diagnostics)

    def close(self) -> None:
        """Ends the device's thread and gives the device back."""
        if self._reader is not None:
            self._reader.close()

    def _read_device(self) -> None:
        config = self._config
        feed = OperatorPublication(round(config.heartbeat_s * 1e9))
        feed.enable(config.start_enabled)
        publish = None if config.lockstep else self._publish_now
        report = self.get_logger().info
        device, mapping = self._open(), AxisMapping(self._mapping)
        self._reader = DeviceReader(device, mapping, feed, 1.0 / config.poll_hz, publish, report)
        if isinstance(device, JoyDevice):
            self._listen_to(device)
        if config.lockstep:
            self._subscribe(PoseStamped, self._contract.state_spec("ee_pose").topic, self._on_tick)
        self._reader.start()

    def _open(self) -> Device:
        config, rest = self._config, self._mapping.activity_off
        if self._device == KEYBOARD:
            return Keyboard(config.keyboard_terminal, config.key_tap_s, config.key_repeat_s)
        if self._device == JOY:
            return JoyDevice(self._joy_config, self._profiles, rest)
        if self._device == NONE:
            return NoDevice()
        stale_s = config.spacemouse_stale_s
        return SpaceMouse(self._profiles, config.spacemouse_model, config.reconnect_s, stale_s, rest)

    def _is_joy_published(self) -> bool:
        topic, end = self.resolve_topic_name(self._joy_config.preset.topic), time.monotonic() + self._config.auto_wait_s
        # discovery takes a moment after the start
        while not (found := self.count_publishers(topic)) and time.monotonic() < end:
            time.sleep(0.02)
        return found > 0

    def _listen_to(self, joy: JoyDevice) -> None:
        subscription = self._subscribe(Joy, joy.preset.topic, partial(self._on_joy, joy))
        self._every(
            _PUBLISHER_CHECK_S, lambda: setattr(joy, "publishers", self.count_publishers(subscription.topic_name))
        )

    def _every(self, period_s: float, callback) -> None:
        self.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_joy(self, joy: JoyDevice, message: Joy) -> None:
        now_ns = self.get_clock().now().nanoseconds
        joy.put(to_ns(message.header.stamp), now_ns, time.monotonic_ns(), message.axes, message.buttons)
        self._reader.wake()

    def _watch_ticks(self) -> None:
        self._operator = ScriptedDevice(self._scripted, self._contract.period_ns)
        self._operator.enabled = self._config.start_enabled
        self._operator_mapping = AxisMapping(self._mapping)
        try:
            self._pose, self._gripper = (self._contract.state_spec(name) for name in ("ee_pose", "gripper_width"))
        except ObservationError as error:
            raise ConfigError(self._contract.source, [f"device = scripted: {error}"]) from None
        self._join = TickJoin(("pose", "gripper", "objects", "status"))
        for kind, topic, name in (
            (PoseStamped, self._pose.topic, "pose"),
            (JointState, self._gripper.topic, "gripper"),
            (PoseArray, "ground_truth/objects", "objects"),
        ):
            self._subscribe(kind, topic, partial(self._on_part, name))
        self.create_subscription(TaskStatus, "task/status", partial(self._on_part, "status"), COMMANDS)

    def _subscribe(self, kind, topic, callback):
        return self.create_subscription(kind, topic, callback, sensors(self._config.sensor_reliability))

    def _on_part(self, name: str, message) -> None:
        stamp_ns = to_ns(message.header.stamp)
        parts = self._join.add(name, stamp_ns, message)
        if parts is None:
            return
        try:
            self._operator.see(self._scripted_input(stamp_ns, parts))
        except ObservationError as error:
            self.get_logger().error(f"the scripted operator cannot see: {error}", throttle_duration_sec=5.0)
            return
        self._publish(self._operator_mapping.apply(self._operator.poll(stamp_ns)), stamp_ns)

    def _scripted_input(self, stamp_ns: int, parts: dict) -> ScriptedInput:
        hand = pose_to_array(parts["pose"].pose).astype(float)
        width = float(state_from_msg(parts["gripper"], self._gripper)[0])
        poses, status = [pose_to_array(pose).astype(float) for pose in parts["objects"].poses], parts["status"]
        state = ExpertInput(hand[:3], hand[3:], width, see_objects(self._scripted.task, poses))
        return ScriptedInput(stamp_ns, state, status.trial, status.seed, status.step, status.running)

    def _on_tick(self, message: PoseStamped) -> None:
        self._publish(self._reader.take_always(), to_ns(message.header.stamp))

    def _publish_now(self, sample: OperatorSample) -> None:
        clock = self.get_clock()
        # simulated time goes on in steps and at another pace than the steady clock of the device
        age_ns = 0 if clock.ros_time_is_active else max(0, time.monotonic_ns() - sample.stamp_ns)
        self._publish(sample, clock.now().nanoseconds - age_ns)

    def _publish(self, sample: OperatorSample, stamp_ns: int) -> None:
        message = OperatorCommand(
            device=self._device,
            connected=sample.connected,
            active=sample.active,
            values=to_floats(sample.values),
            events=list(sample.events),
        )
        message.header.stamp, message.header.frame_id = to_stamp(stamp_ns), self._contract.frame_id
        self._command_pub.publish(message)

    def _publish_diagnostics(self) -> None:
        told = (self._reader or self._operator).summary
        message = told["problem"] or ("connected" if told["connected"] == "true" else "not connected")
        level = OK if message == "connected" else WARN
        self._diagnostics_pub.publish(diagnostic_array(self, level, message, told))

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if self._reader is not None:
            self._reader.enable(request.data)
        else:
            self._operator.enabled = request.data
        response.success = True
        return response


def main() -> None:
    """Console script."""
    raise SystemExit(run(TeleopNode))


if __name__ == "__main__":
    main()
