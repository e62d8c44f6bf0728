"""The operator's device as a ROS node: the operator's action in contract units."""

from __future__ import annotations

import time
from functools import partial

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import Joy

from apo_core.ros.conversions import to_ns
from apo_core.ros.node_runner import run
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS
from apo_interfaces.msg import DeviceSample
from apo_teleop.devices.config import BROWSER, JOY, KEYBOARD, NONE, SCRIPTED, TeleopConfig, choose_device
from apo_teleop.devices.device import Device
from apo_teleop.devices.joy import JoyDevice
from apo_teleop.devices.keyboard import Keyboard
from apo_teleop.devices.mapping import AxisMapping, OperatorSample
from apo_teleop.devices.profiles import Profiles
from apo_teleop.devices.publication import OperatorPublication
from apo_teleop.devices.reader import DeviceReader, NoDevice
from apo_teleop.devices.remote import TOPIC as REMOTE_TOPIC
from apo_teleop.devices.remote import RemoteDevice
from apo_teleop.devices.spacemouse import SpaceMouse, is_attached
from apo_teleop.ros.operator_node import NODE_NAME, OperatorNode
from apo_teleop.scripted_operator_node import ScriptedOperatorNode

_PUBLISHER_CHECK_S = 0.1


class TeleopNode(OperatorNode):
    """Publishes samples of one device that a thread reads: each change and a heartbeat, or one sample per tick.

    Args:
        device: which one; spacemouse, joy, keyboard, browser or none.
    """

    def __init__(self, device: str):
        super().__init__(device)
        config = self._config
        self._profiles = Profiles(config.profiles)
        publication = OperatorPublication(round(config.heartbeat_s * 1e9))
        publication.enable(config.start_enabled)
        publish = None if config.lockstep else self._publish_now
        source, mapping, period_s = self._open(), AxisMapping(config.mapping), 1.0 / config.poll_hz
        self._reader = DeviceReader(source, mapping, publication, period_s, publish, self.get_logger().info)
        if isinstance(source, JoyDevice):
            topic = self.subscribe(Joy, source.preset.topic, partial(self._on_joy, source)).topic_name
            self.every(_PUBLISHER_CHECK_S, partial(self._count_publishers, source, topic))
        elif isinstance(source, RemoteDevice):
            callback = partial(self._on_remote, source)
            topic = self.create_subscription(DeviceSample, REMOTE_TOPIC, callback, COMMANDS).topic_name
            self.every(_PUBLISHER_CHECK_S, partial(self._count_publishers, source, topic))
        if config.lockstep:
            self.subscribe(PoseStamped, self._contract.state_spec("ee_pose").topic, self._on_tick)
        self._reader.start()

    def close(self) -> None:
        """Ends the device's thread and gives the device back."""
        self._reader.close()

    @property
    def summary(self) -> dict[str, str]:
        """See OperatorNode."""
        return self._reader.summary

    @property
    def is_used(self) -> bool:
        """See OperatorNode."""
        return self._reader.used

    def enable(self, enabled: bool) -> None:
        """See OperatorNode."""
        self._reader.enable(enabled)

    def _open(self) -> Device:
        config, rest = self._config, self._config.mapping.activity_off
        if self._device == KEYBOARD:
            return Keyboard(config.keyboard_terminal, config.key_tap_s, config.key_repeat_s)
        if self._device == JOY:
            return JoyDevice(config.joy, self._profiles, rest, config.mapping.activity_on)
        if self._device == BROWSER:
            return RemoteDevice(config.remote, rest)
        if self._device == NONE:
            return NoDevice()
        stale_s = config.spacemouse_stale_s
        return SpaceMouse(self._profiles, config.spacemouse_model, config.reconnect_s, stale_s, rest)

    def _count_publishers(self, source: JoyDevice | RemoteDevice, topic: str) -> None:
        source.publishers = self.count_publishers(topic)

    def _on_joy(self, joy: JoyDevice, message: Joy) -> None:
        now_ns = self.get_clock().now().nanoseconds
        joy.put(to_ns(message.header.stamp), now_ns, time.monotonic_ns(), message.axes, message.buttons)
        self._reader.wake()

    def _on_remote(self, remote: RemoteDevice, message: DeviceSample) -> None:
        age_ns = self.get_clock().now().nanoseconds - to_ns(message.header.stamp)
        axes, events = list(message.axes), list(message.events)
        steady_ns = time.monotonic_ns()
        remote.put(age_ns, steady_ns, message.holder, message.connected, axes, events, message.held)
        self._reader.wake()

    def _on_tick(self, message: PoseStamped) -> None:
        self.publish(self._reader.take_always(), to_ns(message.header.stamp))

    def _publish_now(self, sample: OperatorSample) -> None:
        clock = self.get_clock()
        # simulated time goes on in steps and at another pace than the steady clock of the device
        age_ns = 0 if clock.ros_time_is_active else max(0, time.monotonic_ns() - sample.stamp_ns)
        self.publish(sample, clock.now().nanoseconds - age_ns)


def chosen_device() -> str:
    """The device that the parameters name, or the one that `auto` finds.

    Raises:
        ConfigError: a wrong parameter.
    """
    probe = Node(NODE_NAME, start_parameter_services=False)  # which node it is to be depends on the device
    try:
        config = declare(probe, TeleopConfig)
        simulated, report = probe.get_parameter("use_sim_time").value, probe.get_logger().info
        attached = partial(is_attached, Profiles(config.profiles), config.spacemouse_model, report)
        return choose_device(config.device, simulated, attached, partial(_is_joy_published, probe, config))
    finally:
        probe.destroy_node()


def _is_joy_published(node: Node, config: TeleopConfig) -> bool:
    topic, end = node.resolve_topic_name(config.joy.preset.topic), time.monotonic() + config.auto_wait_s
    # discovery takes a moment after the start
    while not (found := node.count_publishers(topic)) and time.monotonic() < end:
        time.sleep(0.02)
    return found > 0


def make_node() -> OperatorNode:
    """The node of the chosen device."""
    device = chosen_device()
    return ScriptedOperatorNode() if device == SCRIPTED else TeleopNode(device)


def main() -> None:
    """Console script."""
    raise SystemExit(run(make_node))


if __name__ == "__main__":
    main()
