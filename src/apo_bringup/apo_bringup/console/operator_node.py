"""`apo operator`: the console on a terminal: the state of the stack, and keys that start and label episodes."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from functools import partial

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from apo_bringup.console.operator_view import HELP, KEYS, OperatorView
from apo_bringup.stack.nodes import namespace_arguments
from apo_core.ros.node_runner import run
from apo_core.ros.qos import COMMANDS
from apo_core.system.terminal import LiveLine, kept_terminal
from apo_core.system.terminal_keys import TerminalKeys
from apo_core.types import OperatorEvent
from apo_interfaces.msg import ActionDoubt, ControlStatus, EpisodeEvent, OperatorCommand
from apo_interfaces.srv import EndEpisode, StartEpisode

_POLL_S = 0.05
_OF_ARBITER = (OperatorEvent.HAND_BACK, OperatorEvent.ESTOP, OperatorEvent.CLEAR)
_START, _END = "recorder/start_episode", "recorder/end_episode"


class OperatorConsoleNode(Node):
    """Calls a service for each key, and shows device, arbiter and recorder.

    Args:
        start: task, instruction and operator_name of the episodes it starts; empty: the recorder's.
        keys: file descriptor of the terminal to read keys from; None: display only.
    """

    def __init__(self, start: dict[str, str], keys: int | None):
        super().__init__("operator_console")
        self._typed = TerminalKeys()
        self._console = LiveLine()
        self._view = OperatorView(self._console)
        self._requests = {
            OperatorEvent.START: (_START, StartEpisode, StartEpisode.Request(**start)),
            OperatorEvent.UNDO_LAST: ("recorder/undo_last", Trigger, Trigger.Request()),
        }
        for event in (OperatorEvent.SUCCESS, OperatorEvent.FAILURE, OperatorEvent.DISCARD):
            request = EndEpisode.Request(outcome=event.upper(), reason=f"operator_{event}")
            self._requests[event] = (_END, EndEpisode, request)
        for event in _OF_ARBITER:
            self._requests[event] = (f"arbiter/{event}", Trigger, Trigger.Request())
        kinds = {service: kind for service, kind, _ in self._requests.values()}
        self._service_clients = {service: self.create_client(kind, service) for service, kind in kinds.items()}
        self.create_subscription(OperatorCommand, "operator/command", self._on_command, COMMANDS)
        self.create_subscription(ControlStatus, "control/status", self._on_status, COMMANDS)
        self.create_subscription(EpisodeEvent, "recorder/event", self._on_episode, COMMANDS)
        self.create_subscription(ActionDoubt, "policy/doubt", self._on_uncertainty, COMMANDS)
        if keys is None:
            self._console.note("no terminal to read keys from: display only; Ctrl-C ends")
        else:
            self._console.note(HELP)
            self.create_timer(_POLL_S, partial(self._on_timer, keys), clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_command(self, message: OperatorCommand) -> None:
        events, values = list(message.events), list(message.values)
        self._view.show_device(message.device, message.connected, message.active, values, events)

    def _on_status(self, message: ControlStatus) -> None:
        self._view.show_control(message.state, message.reason, message.latched)

    def _on_episode(self, m: EpisodeEvent) -> None:
        self._view.show_episode(m.event, m.episode_id, m.outcome, m.reason, m.steps, m.takeovers)

    def _on_uncertainty(self, message: ActionDoubt) -> None:
        self._view.show_uncertainty(message.help_wanted, message.entropy)

    def _on_timer(self, keys: int) -> None:
        if not select.select([keys], [], [], 0)[0]:
            return
        typed = os.read(keys, 4096)
        if not typed:  # the terminal is gone
            raise SystemExit(0)
        for key in self._typed.read(typed.decode("ascii", "ignore"), time.monotonic_ns()):
            if key in KEYS:
                self._ask(KEYS[key])
            elif key == "?":
                self._console.note(HELP)

    def _ask(self, event: OperatorEvent) -> None:
        service, _, request = self._requests[event]
        client = self._service_clients[service]
        if not client.service_is_ready():
            self._view.show_answer(event, False, f"no node serves {service}")
            return
        client.call_async(request).add_done_callback(partial(self._on_answer, event))

    def _on_answer(self, event: OperatorEvent, future: Future) -> None:
        answer = future.result()
        accepted = answer.success if isinstance(answer, Trigger.Response) else answer.accepted
        # the recorder also reports its actions as events
        shown = event in _OF_ARBITER or not accepted
        self._view.show_answer(event, accepted, answer.message if shown else "")


def operate(namespace: str, start: dict[str, str]) -> int:
    """Shows and reads keys until Ctrl-C; returns the exit status.

    Raises:
        ConfigError: see `nodes.namespace_arguments`.
    """
    arguments = ["--ros-args", *namespace_arguments(namespace)]
    with kept_terminal(sys.stdin):
        keys = None
        if sys.stdin.isatty():
            keys = sys.stdin.fileno()
            tty.setcbreak(keys, termios.TCSANOW)
        return run(partial(OperatorConsoleNode, start, keys), arguments)
