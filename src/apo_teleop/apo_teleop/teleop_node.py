"""The operator's device as a ROS node: what the operator wants, in contract units."""

from __future__ import annotations

from functools import partial

from geometry_msgs.msg import PoseArray, PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool

from apo_core.contract import load_contract
from apo_core.errors import ConfigError, ObservationError
from apo_core.experts import ExpertInput
from apo_core.ros.conversions import pose_to_array, state_from_msg, to_floats, to_ns, to_stamp
from apo_core.ros.node_main import run
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, sensors
from apo_interfaces.msg import OperatorCommand, TaskStatus
from apo_teleop.devices.device import Device
from apo_teleop.devices.keyboard import Keyboard
from apo_teleop.devices.reader import DeviceReader, NoDevice
from apo_teleop.devices.scripted import OBJECT_NAMES, ScriptedConfig, ScriptedInput, ScriptedOperator, resting
from apo_teleop.devices.spacemouse import SpaceMouse, is_attached
from apo_teleop.feed import OperatorFeed
from apo_teleop.mapping import AxisMapping, MappingConfig, OperatorSample
from apo_teleop.teleop_config import KEYBOARD, NONE, SCRIPTED, TeleopConfig, choose_device
from apo_teleop.tick_join import TickJoin


class TeleopNode(Node):
    """Publishes samples of one device: a real one read by a thread, or the scripted operator answering every tick."""

    def __init__(self):
        super().__init__("teleop")
        config = self._config = declare(self, TeleopConfig)
        mapping, self._scripted = declare(self, MappingConfig), declare(self, ScriptedConfig)
        self._contract = load_contract(config.contract_file)
        if self._contract.action.size != 7:
            raise ConfigError(
                self._contract.source, [f"action has {self._contract.action.size} values, devices give 7"]
            )
        self._enabled = config.start_enabled
        self._command_pub = self.create_publisher(OperatorCommand, "operator/command", COMMANDS)
        self.create_service(SetBool, "~/enable", self._on_enable)
        simulated = self.get_parameter("use_sim_time").value
        self._device = choose_device(config.device, simulated, is_attached)
        self.get_logger().info(f"the operator's device is {self._device}")
        self._reader: DeviceReader | None = None
        if self._device == SCRIPTED:
            self._watch_ticks()
        else:
            self._read_device(mapping)

    def close(self) -> None:
        """Ends the device's thread and gives the device back."""
        if self._reader is not None:
            self._reader.close()

    def _read_device(self, mapping: MappingConfig) -> None:
        config = self._config
        feed = OperatorFeed(round(config.heartbeat_s * 1e9))
        feed.enabled = self._enabled
        publish = None if config.lockstep else self._publish_now
        report = self.get_logger().info
        period_s = 1.0 / config.poll_hz
        self._reader = DeviceReader(self._open(), AxisMapping(mapping), feed, period_s, publish, report)
        self._reader.start()
        if config.lockstep:
            self._subscribe(PoseStamped, self._contract.state_spec("ee_pose").topic, self._on_tick)

    def _open(self) -> Device:
        config = self._config
        if self._device == KEYBOARD:
            return Keyboard(config.keyboard_terminal, config.key_tap_s, config.key_repeat_s)
        return NoDevice() if self._device == NONE else SpaceMouse(config.spacemouse_model, config.reconnect_s)

    def _watch_ticks(self) -> None:
        self._operator = ScriptedOperator(self._scripted, self._contract.period_ns)
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

    def _subscribe(self, kind, topic, callback) -> None:
        self.create_subscription(kind, topic, callback, sensors(self._config.sensor_reliability))

    def _on_part(self, name: str, message) -> None:
        stamp_ns = to_ns(message.header.stamp)
        parts = self._join.add(name, stamp_ns, message)
        if parts is None:
            return
        try:
            tick = self._scripted_input(stamp_ns, parts)
        except ObservationError as error:
            self.get_logger().error(f"the scripted operator cannot see: {error}", throttle_duration_sec=5.0)
            return
        # not stepped while disabled: the gap makes it start anew afterwards
        self._publish(self._operator.step(tick) if self._enabled else resting(), stamp_ns)

    def _scripted_input(self, stamp_ns: int, parts: dict) -> ScriptedInput:
        names, poses, status = OBJECT_NAMES[self._scripted.task], parts["objects"].poses, parts["status"]
        if len(poses) != len(names):
            raise ObservationError(
                f"ground_truth/objects has {len(poses)} poses, task {self._scripted.task} has {names}"
            )
        hand = pose_to_array(parts["pose"].pose).astype(float)
        width = float(state_from_msg(parts["gripper"], self._gripper)[0])
        objects = {name: pose_to_array(pose).astype(float) for name, pose in zip(names, poses, strict=True)}
        state = ExpertInput(hand[:3], hand[3:], width, objects)
        return ScriptedInput(stamp_ns, state, status.trial, status.seed, status.step, status.running)

    def _on_tick(self, message: PoseStamped) -> None:
        self._publish(self._reader.take_always(), to_ns(message.header.stamp))

    def _publish_now(self, sample: OperatorSample) -> None:
        self._publish(sample, self.get_clock().now().nanoseconds)

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

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        if self._reader is not None:
            self._reader.enable(request.data)
        response.success = True
        return response


def main() -> None:
    """Console script."""
    raise SystemExit(run(TeleopNode))


if __name__ == "__main__":
    main()
