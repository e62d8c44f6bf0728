"""Robots as far as a console sees them: a state in every tick, and the services behind the buttons."""

import contextlib
import threading
from collections.abc import Sequence

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from std_srvs.srv import SetBool, Trigger

from apo_core.ros.qos import COMMANDS
from apo_interfaces.msg import ControlStatus, DeviceSample

PERIOD_S = 0.05


class Robots:
    """One robot in each of `namespaces`, spun by a thread.

    Attributes:
        reasons: namespace -> (state, reason) that its arbiter reports.
        calls: (namespace, service) as they came.
        samples: namespace -> what its device received.
    """

    def __init__(self, domain: int, namespaces: Sequence[str]):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("robots", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.reasons = dict.fromkeys(namespaces, ("POLICY", "policy_in_control"))
        self.calls: list[tuple[str, str]] = []
        self.samples: dict[str, list[DeviceSample]] = {name: [] for name in namespaces}
        self._status = {
            name: self.node.create_publisher(ControlStatus, f"/{name}/control/status", COMMANDS) for name in namespaces
        }
        for name in namespaces:
            self.node.create_subscription(DeviceSample, f"/{name}/operator/device", self.samples[name].append, COMMANDS)
            for service, kind in (("estop", Trigger), ("clear", Trigger), ("hand_back", Trigger), ("enable", SetBool)):
                self.node.create_service(kind, f"/{name}/arbiter/{service}", self._answer(name, service))
        self.node.create_timer(PERIOD_S, self._report)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _answer(self, name: str, service: str):
        def answer(_, response):
            self.calls.append((name, service))
            if service == "estop":
                self.reasons[name] = ("ESTOP", "estop")
            response.success, response.message = True, f"{service} done"
            return response

        return answer

    def _report(self) -> None:
        for name, publisher in self._status.items():
            state, reason = self.reasons[name]
            publisher.publish(ControlStatus(state=state, reason=reason, latched=state == "ESTOP"))

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def close(self) -> None:
        self._context.try_shutdown()
        self._thread.join()
        self.node.destroy_node()
