"""A node whose methods block: it waits for messages and answers, and spins itself meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future
from std_srvs.srv import SetBool

from apo_bringup.session.conduct import SessionStopped, Update
from apo_bringup.session.records import overdue

_SHOW_S = 0.1  # between live lines


class Overdue(SessionStopped):
    """Something did not happen in time."""


class BlockingNode(Node):
    """Keeps the last message of each type, and calls services.

    Args:
        name: of the node.
        topics: (message type, topic, QoS) of its subscriptions.
        services: service -> its type; a response accepts by `success` of SetBool, else by `accepted`.
        limits: parameter -> seconds.
        limits_file: where to change them, for messages.
        check: called while waiting; raises SessionStopped when the session must end.
    """

    def __init__(
        self,
        name: str,
        topics: Iterable[tuple[type, str, QoSProfile]],
        services: Mapping[str, type],
        limits: Mapping[str, float],
        limits_file: str,
        check: Callable[[], None],
    ):
        super().__init__(name)
        self._limits, self._limits_file, self._check = limits, limits_file, check
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._latest: dict[type, Any] = {}
        self._followers: dict[type, Callable[[Any], None]] = {}  # called with every message of a type
        for kind, topic, qos in topics:
            self.create_subscription(kind, topic, self._store, qos)
        self._service_clients: dict[str, Client] = {
            service: self.create_client(kind, service) for service, kind in services.items()
        }

    def _store(self, message: Any) -> None:
        self._latest[type(message)] = message
        if type(message) in self._followers:
            self._followers[type(message)](message)

    def _spin_until(
        self,
        condition: Callable[[], bool],
        limit: str,
        what: str,
        line: Callable[[], str] = str,
        update: Update = lambda text: None,
    ) -> None:
        """Waits for a condition and shows `line()` meanwhile.

        Raises:
            Overdue: `what` did not happen within the limit of that name.
            SessionStopped: `check` ended the session.
        """
        deadline, shown = time.monotonic() + self._limits[limit], 0.0
        while not condition():
            self._check()
            if time.monotonic() > deadline:
                raise Overdue(overdue(what, limit, self._limits[limit], self._limits_file))
            self._executor.spin_once(timeout_sec=0.05)
            if time.monotonic() - shown > _SHOW_S and (text := line()):
                update(text)
                shown = time.monotonic()

    def _call(self, service: str, request: Any) -> Future:
        return self._service_clients[service].call_async(request)

    def _answer(self, service: str, future: Future) -> Any:
        self._spin_until(future.done, "answer_timeout_s", f"the answer of service '{service}'")
        return future.result()

    def _accepted(self, service: str, future: Future) -> Any:
        """The answer; raises SessionStopped with its message when it is a rejection."""
        response = self._answer(service, future)
        if not (response.success if isinstance(response, SetBool.Response) else response.accepted):
            raise SessionStopped(f"service '{service}' rejected: {response.message}")
        return response

    def _ask(self, service: str, request: Any) -> Any:
        return self._accepted(service, self._call(service, request))

    def _callable(self) -> dict[str, bool]:
        """Service -> whether it can be called."""
        return {service: client.service_is_ready() for service, client in self._service_clients.items()}

    def _nodes_subscribed(self, topics: Iterable[str]) -> dict[str, set[str]]:
        """Topic -> names of the nodes that subscribe to it."""
        return {topic: {info.node_name for info in self.get_subscriptions_info_by_topic(topic)} for topic in topics}

    def _wait_only(self, seconds: float) -> None:
        """Limits all later waits together to `seconds`; what ended the session does not end them."""
        deadline = time.monotonic() + seconds

        def check() -> None:
            if time.monotonic() > deadline:
                raise Overdue(f"no message was received for {seconds:.0f} s")

        self._check = check

    def destroy_node(self) -> None:
        """Ends the executor as well."""
        self._executor.shutdown()
        super().destroy_node()
