"""Base of the nodes that publish an operator's samples: parameters, contract, ~/enable, diagnostics."""

from __future__ import annotations

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.subscription import Subscription
from std_srvs.srv import SetBool

from apo_core.actions import SIZE
from apo_core.contract.contract import load_contract
from apo_core.errors import ConfigError
from apo_core.ros.conversions import to_floats, to_stamp
from apo_core.ros.diagnostics import OK, WARN, diagnostic_array
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, sensors
from apo_interfaces.msg import OperatorCommand
from apo_teleop.devices.config import TeleopConfig
from apo_teleop.devices.mapping import OperatorSample

NODE_NAME = "teleop"


class OperatorNode(Node):
    """Publishes samples on operator/command; a subclass makes them.

    Args:
        device: name in the samples.

    Raises:
        ConfigError: a wrong parameter, or a contract whose action is not a twist and a gripper.
    """

    def __init__(self, device: str):
        super().__init__(NODE_NAME)
        self._device = device
        self._config = declare(self, TeleopConfig)
        self.realtime_priority = self._config.realtime_priority
        self._contract = load_contract(self._config.contract_file)
        if self._contract.action.size != SIZE:
            fault = f"action has {self._contract.action.size} values, devices give {SIZE}"
            raise ConfigError(self._contract.source, [fault])
        self.get_logger().info(f"the operator's device is {device}")
        self._command_pub = self.create_publisher(OperatorCommand, "operator/command", COMMANDS)
        self._diagnostics_pub = self.create_publisher(DiagnosticArray, "/diagnostics", COMMANDS)
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.every(1.0, self._publish_diagnostics)

    @property
    def summary(self) -> dict[str, str]:
        """Key and value for /diagnostics, `connected` and `problem` among them."""
        raise NotImplementedError

    @property
    def is_used(self) -> bool:
        """Whether somebody has moved the device, or pressed a button of it, since it was connected."""
        return True

    def enable(self, enabled: bool) -> None:
        """Whether the operator may act."""
        raise NotImplementedError

    def publish(self, sample: OperatorSample, stamp_ns: int) -> None:
        """Publishes a sample of the ROS time `stamp_ns`."""
        message = OperatorCommand(
            device=self._device,
            connected=sample.connected,
            active=sample.active,
            values=to_floats(sample.values),
            events=list(sample.events),
        )
        message.header.stamp, message.header.frame_id = to_stamp(stamp_ns), self._contract.frame_id
        self._command_pub.publish(message)

    def subscribe(self, kind: type, topic: str, callback: Callable) -> Subscription:
        """Subscribes to a sensor's topic with the configured reliability."""
        return self.create_subscription(kind, topic, callback, sensors(self._config.sensor_reliability))

    def every(self, period_s: float, callback: Callable[[], None]) -> None:
        """Calls back at a period of steady time."""
        self.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _publish_diagnostics(self) -> None:
        summary = self.summary
        connected = summary["connected"] == "true"
        unused = "" if self.is_used else ", neither moved nor a button pressed so far"
        message = summary["problem"] or (f"connected{unused}" if connected else "not connected")
        level = WARN if summary["problem"] or not connected else OK
        self._diagnostics_pub.publish(diagnostic_array(self, level, message, summary))

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self.enable(request.data)
        response.success = True
        return response
