"""A served page with robots of the test's own."""

from concurrent.futures import Future

import pytest

pytest.importorskip("starlette", reason="starlette is missing: run 'make setup'")

from console_page import TOKEN, Page

from apo_console.server.access import Access
from apo_console.server.app import make_app
from apo_console.server.hub import Hub
from apo_console.server.robots import Answer
from apo_console.server.server_thread import ServerThread, bound_socket
from apo_console.view.live import Live


class FakeRobots:
    """Two robots that remember what they received."""

    def __init__(self):
        self.calls = []
        self.answers = {}  # action -> Answer or exception; else accepted

    def count(self):
        return 2

    def states(self, now_s):
        return [Live(name, ("front",)).state(now_s) for name in ("left", "right")]

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
