"""Runs a node as a process: signals, executor, clean end."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable

import rclpy
from rclpy.duration import Duration
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from apo_core.errors import ApoError
from apo_core.ros.environment import check_environment
from apo_core.ros.parameters import warn_of_unknown
from apo_core.system.parent_death import end_with_parent_if_asked
from apo_core.system.scheduling import raise_priority

try:
    from rclpy.experimental import EventsExecutor
except ImportError:
    EventsExecutor = None

CONFIGURATION_FAULT = 2  # exit status: starting again would end the same way
FLUSH_TIMEOUT_S = 0.5  # a subscriber that was killed never acknowledges
DESTROY_TIMEOUT_S = 10.0  # of the node in the middleware: it takes milliseconds, or it is blocked for ever


def _deactivate(node: Node) -> None:
    """Deactivates an active node; a failure is logged, so that it hides no earlier error and the node is closed."""
    try:
        if getattr(node, "is_active", False):
            node.trigger_deactivate()
    except Exception:
        node.get_logger().error(f"deactivate failed:\n{traceback.format_exc()}")


def _wait_for_subscribers(node: Node) -> None:
    """Messages that have not arrived yet would be lost with the process."""
    due = time.monotonic() + FLUSH_TIMEOUT_S
    with contextlib.suppress(Exception):  # a middleware without acknowledgements
        for publisher in node.publishers:
            publisher.wait_for_all_acked(Duration(seconds=max(0.0, due - time.monotonic())))


def _destroy(node: Node | None, executor: Executor | None) -> None:
    """Takes node and context out of the middleware.

    Fast DDS can deadlock there, with Python's lock held: only the thread of faulthandler
    can still act. It then writes every stack to stderr and ends the process with status 1.
    """
    faulthandler.dump_traceback_later(DESTROY_TIMEOUT_S, exit=True)
    try:
        if node is not None:
            node.destroy_node()
        if executor is not None:
            executor.shutdown(timeout_sec=1.0)
        rclpy.try_shutdown()
    finally:
        faulthandler.cancel_dump_traceback_later()


def event_driven(node: Node) -> bool:
    """Whether `node` can run on rclpy's EventsExecutor, which needs half the CPU time at 100 Hz and more.

    It is missing in older releases, and that of Jazzy fails on callbacks that take the message info; a node that
    needs the info in simulated time has them then only.
    """
    return EventsExecutor is not None and not node.get_parameter("use_sim_time").value


def executor_for(node: Node, events: bool) -> Executor:
    """The executor of one node; the EventsExecutor where `events` is wanted and the node is `event_driven`."""
    return EventsExecutor() if events and event_driven(node) else SingleThreadedExecutor()


def run(factory: Callable[[], Node], args: list[str] | None = None, events: bool = False) -> int:
    """Makes a node, spins it until SIGINT or SIGTERM, ends it; returns the exit status.

    It is CONFIGURATION_FAULT when environment, parameters or files keep the node from starting.

    A lifecycle node with the parameter `autostart` true is configured and activated at once; an active one is
    deactivated at the end, while it can still publish its last command, also when a callback raised. A node may have
    `close()`, called after that, to join its threads. A middleware that then blocks for DESTROY_TIMEOUT_S ends the
    process with status 1. One with `realtime_priority` gets it (`raise_priority`).

    Args:
        factory: makes the node.
        args: ROS arguments; None: those of the process.
        events: run on the EventsExecutor where `event_driven`.
    """
    end_with_parent_if_asked()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        check_environment(os.environ)
        # rclpy's own handlers would shut the context down before the last command is out
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # the middleware raises types of its own
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return CONFIGURATION_FAULT
    executor, node, status = None, None, 0
    try:
        node = factory()
        warn_of_unknown(node)
        executor = executor_for(node, events)
        executor.add_node(node)
        if priority := getattr(node, "realtime_priority", 0):
            node.get_logger().info(f"scheduling: {raise_priority(priority)}")
        if isinstance(node, LifecycleNode) and node.get_parameter("autostart").value:
            for transition in (node.trigger_configure, node.trigger_activate):
                if transition() != TransitionCallbackReturn.SUCCESS:
                    stop.set()
                    status = CONFIGURATION_FAULT
                    break
        # spin() can miss a signal that arrives before its first wait: poll instead
        while rclpy.ok() and not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
    except ApoError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        status = CONFIGURATION_FAULT
    finally:
        if node is not None:
            _deactivate(node)
            close = getattr(node, "close", None)
            if close is not None:
                close()
            _wait_for_subscribers(node)
        _destroy(node, executor)
    return status
