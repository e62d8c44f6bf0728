"""A served page with robots of the test's own."""

import contextlib
import json
from concurrent.futures import Future

import pytest

pytest.importorskip("starlette", reason="starlette is missing: run 'make setup'")

from websockets.sync.client import connect

from apo_console.server.access import Access
from apo_console.server.app import make_app
from apo_console.server.hub import Hub
from apo_console.server.robots import Answer
from apo_console.server.server_thread import ServerThread, bound_socket

TOKEN = "a token of the test"


class FakeRobots:
    """Two robots that remember what they received."""

    def __init__(self):
        self.calls = []
        self.answers = {}  # action -> Answer or exception; else accepted

    def count(self):
        return 2

    def states(self, now_s):
        return [{"name": name, "alarm": {"level": 0}} for name in ("left", "right")]

    def drive(self, robot, holder, axes, held, events):
        self.calls.append(("drive", robot, holder, tuple(axes), held, list(events)))

    def let_go(self, robot, why):
        self.calls.append(("let_go", robot))

    def stop(self, robot):
        return self.perform(robot, "estop", {}, "")

    def perform(self, robot, action, fields, viewer):
        self.calls.append((action, robot, fields))
        self.viewer = viewer
        answer, future = self.answers.get(action, Answer(True, "done")), Future()
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future


class Page:
    """A page without a browser."""

    def __init__(self, port, name="", token=TOKEN, origin=None):
        headers = {"Cookie": f"apo_console_{port}={token}"}
        origin = f"http://127.0.0.1:{port}" if origin is None else origin
        address = f"ws://127.0.0.1:{port}/live?name={name}"
        self._open = contextlib.ExitStack()
        made = connect(address, origin=origin, additional_headers=headers, max_size=None)
        self.socket = self._open.enter_context(made)
        self._count = 0

    def send(self, message):
        self.socket.send(message)

    def until(self, condition, answers_pings=True):
        """The first message that the condition holds for; texts are decoded."""
        while True:
            message = self.socket.recv(timeout=20)
            if isinstance(message, bytes) and message[0] == 5 and answers_pings:
                self.send(b"\x02" + message[1:])
            content = json.loads(message) if isinstance(message, str) else message
            if condition(content):
                return content

    def state(self, condition=lambda content: True):
        return self.until(lambda content: isinstance(content, dict) and "robots" in content and condition(content))

    def measured(self):
        """Waits until its round trip is known."""
        self.state(lambda content: content["you"]["round_trip_ms"] is not None)
        return self

    def request(self, action, robot=0, **fields):
        self._count += 1
        self.send(json.dumps({"number": self._count, "robot": robot, "action": action, **fields}))
        number = self._count
        return self.until(lambda content: isinstance(content, dict) and content.get("answer") == number)

    def close(self):
        self._open.close()


@pytest.fixture
def robots():
    return FakeRobots()


@pytest.fixture
def console(robots):
    """(hub, port) of a running server."""
    listener = bound_socket("127.0.0.1", 0)
    port = listener.getsockname()[1]
    hub = Hub(robots, lease_timeout_s=30.0, lease_rest_timeout_s=30.0, max_round_trip_s=30.0, largest_viewers=3)
    server = ServerThread(make_app(hub, Access(TOKEN, port)), listener)
    server.start()
    yield hub, port
    server.close()


@pytest.fixture
def open_page(console):
    pages = []

    def make(name="", **options):
        pages.append(Page(console[1], name, **options))
        return pages[-1]

    yield make
    for page in pages:
        page.close()
