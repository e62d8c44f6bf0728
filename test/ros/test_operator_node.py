"""`apo operator` in a terminal, beside a recorder and an arbiter of the test's own."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import Trigger

from apo_core.ros.qos import COMMANDS
from apo_interfaces.msg import ControlStatus, EpisodeEvent
from apo_interfaces.srv import EndEpisode, StartEpisode

WAIT_S = 30.0


class Stack:
    """The services that keys call; rejects the end of an episode that has not begun."""

    def __init__(self, terminal: int):
        self.node = rclpy.create_node("stack")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.terminal, self.text = terminal, ""
        self.calls: list[tuple[str, object]] = []
        for kind, name in (
            (StartEpisode, "recorder/start_episode"),
            (EndEpisode, "recorder/end_episode"),
            (Trigger, "recorder/undo_last"),
            (Trigger, "arbiter/estop"),
            (Trigger, "arbiter/clear"),
            (Trigger, "arbiter/hand_back"),
        ):
            self.node.create_service(kind, name, self._answer(name))
        self.events = self.node.create_publisher(EpisodeEvent, "recorder/event", COMMANDS)
        self.status = self.node.create_publisher(ControlStatus, "control/status", COMMANDS)

    def _answer(self, name: str) -> Callable:
        def answer(request, response):
            self.calls.append((name, request))
            if name == "recorder/end_episode" and request.outcome == "FAILURE":
                response.message = "no episode is running"
            elif isinstance(response, Trigger.Response):
                response.success, response.message = True, f"done: {name}"
            else:
                response.accepted = True
            return response

        return answer

    def until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, f"waited {WAIT_S} s for {what}; the console shows {self.text!r}"
            self._executor.spin_once(timeout_sec=0.01)

    def shows(self, text: str) -> None:
        """Waits until the console has written this."""

        def is_there() -> bool:
            with contextlib.suppress(OSError):  # nothing new
                self.text += os.read(self.terminal, 65536).decode()
            return text in self.text

        self.until(is_there, repr(text))

    def press(self, key: str) -> tuple[str, object]:
        """The service call that follows a key."""
        before = len(self.calls)
        os.write(self.terminal, key.encode())
        self.until(lambda: len(self.calls) > before, f"the call of {key}")
        return self.calls[-1]


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal: ours, which does not block, and the program's."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    yield ours, theirs
    for end in (ours, theirs):
        os.close(end)


@pytest.fixture
def stack(ros, terminal, meet) -> Iterator[Stack]:
    made = Stack(terminal[0])
    program = "from apo_bringup.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", program, "operator", "--task", "Stack", "--operator-name", "ann"]
    process = subprocess.Popen(command, stdin=terminal[1], stdout=terminal[1], stderr=terminal[1])
    try:
        publishers = (made.events, made.status)
        made.until(
            lambda: all(publisher.get_subscription_count() for publisher in publishers), "the console's subscriptions"
        )
        meet(made.node, "operator_console", made.until)
        yield made
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0
    finally:
        process.kill()
        process.wait()
        made.node.destroy_node()


def test_keys_start_judge_and_take_back_episodes(stack):
    stack.shows("t start an episode")
    name, request = stack.press("t")
    assert (name, request.task, request.instruction, request.operator_name) == (
        *("recorder/start_episode", "Stack", ""),
        "ann",
    )
    for key, outcome, reason in (("y", "SUCCESS", "operator_success"), ("x", "DISCARD", "operator_discard")):
        name, request = stack.press(key)
        assert (name, request.outcome, request.reason) == ("recorder/end_episode", outcome, reason)
    assert stack.press("n")[1].outcome == "FAILURE"
    stack.shows("failure rejected: no episode is running")
    assert stack.press("z")[0] == "recorder/undo_last"


def test_keys_stop_clear_and_hand_back(stack):
    for key, name in (("0", "estop"), ("c", "clear"), ("b", "hand_back")):
        assert stack.press(key)[0] == f"arbiter/{name}"
        stack.shows(f"{name}: done: arbiter/{name}")


def test_keys_that_are_no_letters_call_nothing(stack):
    before = len(stack.calls)
    os.write(stack.terminal, b"\x1b[C\x1b[B\x1b[1;2C\x1b[20~")  # arrows, Shift-Right, F9
    assert stack.press("0")[0] == "arbiter/estop"
    assert len(stack.calls) == before + 1


def test_it_shows_who_drives_and_what_is_recorded(stack):
    stack.status.publish(ControlStatus(state="HUMAN", reason="operator_motion"))
    stack.events.publish(EpisodeEvent(event="STARTED", episode_id="e7"))
    stack.shows("HUMAN  |  records e7")
    stack.events.publish(EpisodeEvent(event="SAVED", episode_id="e7", outcome="SUCCESS", steps=12, takeovers=1))
    stack.shows("episode e7 SAVED SUCCESS: 12 steps, takeovers: 1")
