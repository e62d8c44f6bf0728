"""The page in Chromium, before a server whose robots are the test's own."""

import time

import pytest
from chromium import launched, needs_chromium, sync_api
from console_page import TOKEN

from apo_console.server.access import Access
from apo_console.server.app import make_app
from apo_console.server.hub import Hub
from apo_console.server.server_thread import ServerThread, bound_socket

WAIT_S = 20.0
REST = (0.0,) * 6
pytestmark = [pytest.mark.timeout(300), needs_chromium]


@pytest.fixture(scope="module")
def browser():
    with launched() as found:
        yield found


@pytest.fixture
def page(browser, console):
    """The page, connected and with a measured line; `arrived` are the binary messages that it receives."""
    context = browser.new_context()
    made = context.new_page()
    made.arrived, made.faults = [], []
    made.on("pageerror", lambda error: made.faults.append(str(error)))
    made.on("websocket", lambda socket: socket.on("framereceived", lambda data: made.arrived.append(data)))
    made.goto(f"http://127.0.0.1:{console[1]}/?token={TOKEN}")
    until(made, r"/round trip \d+ ms/.test(document.getElementById('line').textContent)")
    yield made
    assert made.faults == []
    context.close()


def until(page, condition):
    """Waits for an expression of the page, or a condition of the test; the page may be loaded anew meanwhile."""

    def holds():
        if not isinstance(condition, str):
            return condition()
        try:
            return page.evaluate(condition)
        except sync_api.Error as error:
            if "context was destroyed" not in error.message:
                raise
            return False

    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end, condition
        page.wait_for_timeout(10)


def axes(robots):
    return [call[3] for call in robots.calls if call[0] == "drive"]


def moves(robots):
    return any(found != REST for found in axes(robots))


def drives(page):
    page.locator("#take").click()
    until(page, "window.apo.drive.isOn")


@pytest.mark.parametrize(
    "look_away",
    [
        "document.querySelectorAll('#robots button')[1].click()",
        "window.dispatchEvent(new Event('blur'))",
        "document.getElementById('to-episodes').click(), window.dispatchEvent(new Event('hashchange'))",
    ],
    ids=["another robot", "blur", "another view"],
)
def test_who_looks_away_before_the_lease_comes_drives_nothing(page, robots, console, look_away):
    page.evaluate(f"() => {{ window.apo.drive.take(false); {look_away}; }}")
    until(page, lambda: robots.calls)
    assert robots.calls == [("let_go", 0)]
    assert not page.evaluate("window.apo.drive.isOn") and console[0].leases[0].holder == ""


def test_nobody_takes_the_lease_beside_the_cameras(page, console):
    page.keyboard.press("2")
    until(page, "document.getElementById('message').textContent.startsWith('episodes')")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('message').textContent.includes('open Live first')")
    assert console[0].leases[0].holder == ""


@pytest.mark.parametrize(
    "event",
    ["new Event('contextmenu', {bubbles: true})", "new KeyboardEvent('keydown', {key: 'Meta', bubbles: true})"],
    ids=["menu", "command key"],
)
def test_a_key_whose_end_the_page_may_miss_moves_no_longer(page, robots, event):
    drives(page)
    page.keyboard.down("w")
    until(page, lambda: axes(robots)[-1:] == [(0.5, 0.0, 0.0, 0.0, 0.0, 0.0)])
    page.evaluate(f"document.body.dispatchEvent({event})")
    until(page, lambda: axes(robots)[-1] == REST)


PAD = """(stick) => ({ connected: true, mapping: "standard", axes: [0, stick, 0, 0], index: 0, id: "test",
  buttons: Array.from({ length: 17 }, () => ({ pressed: false, value: 0 })) })"""


def test_a_gamepad_that_comes_back_deflected_waits_for_its_rest(page, robots):
    page.evaluate(f"() => {{ window.pad = {PAD}; window.pads = []; navigator.getGamepads = () => window.pads; }}")
    drives(page)
    page.wait_for_timeout(300)
    page.evaluate("window.pads = [window.pad(-1)]")
    seen = len(axes(robots))
    until(page, lambda: len(axes(robots)) > seen + 20)
    assert not moves(robots)
    page.evaluate("window.pads = [window.pad(0)]")
    page.wait_for_timeout(200)
    page.evaluate("window.pads = [window.pad(-1)]")
    until(page, lambda: axes(robots)[-1] == (0.5, 0.0, 0.0, 0.0, 0.0, 0.0))


def test_a_spacemouse_that_comes_back_deflected_waits_for_its_rest(page, robots):
    page.evaluate(
        """() => {
          window.push = (value) => {
            const view = new DataView(new ArrayBuffer(6));
            view.setInt16(2, value, true);
            clearInterval(window.pushes);
            window.pushes = setInterval(() => window.apo.drive.spaceMouse.report(1, view), 10);
          };
        }"""
    )
    drives(page)
    page.wait_for_timeout(400)
    page.evaluate("window.push(-350)")
    until(page, lambda: axes(robots)[-1] == (0.5, 0.0, 0.0, 0.0, 0.0, 0.0))
    page.evaluate("clearInterval(window.pushes)")
    until(page, lambda: axes(robots)[-1] == REST)
    seen = len(axes(robots))
    page.evaluate("window.push(-350)")
    until(page, lambda: len(axes(robots)) > seen + 20)
    assert not any(found != REST for found in axes(robots)[seen:])
    page.evaluate("window.push(0)")
    page.wait_for_timeout(300)
    page.evaluate("window.push(-350)")
    until(page, lambda: axes(robots)[-1] == (0.5, 0.0, 0.0, 0.0, 0.0, 0.0))


def test_pictures_of_a_robot_that_is_not_shown_wait(page, console):
    def received(robot):
        return [frame[3] for frame in page.arrived if isinstance(frame, bytes) and frame[:2] == bytes([4, robot])]

    for sequence in (1, 2, 3):
        for robot in (1, 0):
            console[0].offer_frame(robot, 0, sequence, 0, b"no picture")
        until(page, lambda: received(0)[-1:] == [sequence])  # noqa: B023
    assert received(1) == [1]
    page.locator("#robots button").nth(1).click()
    until(page, lambda: received(1) == [1, 3])


@pytest.mark.parametrize(
    ("token", "result"),
    [
        (TOKEN, "window.before === undefined && window.apo?.connection.isOpen"),
        (
            "another token of the test",
            "document.getElementById('alarm').textContent.includes('open the address that it')",
        ),
    ],
    ids=["the same token", "another token"],
)
def test_a_page_of_an_earlier_start_loads_again_or_explains(browser, robots, token, result):
    def start(port, token):
        listener = bound_socket("127.0.0.1", port)
        port = listener.getsockname()[1]
        server = ServerThread(make_app(Hub(robots, 30.0, 30.0, 30.0), Access(token, port)), listener)
        server.start()
        return server, port

    server, port = start(0, TOKEN)
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{port}/?token={TOKEN}")
    until(page, "window.apo?.connection.isOpen && document.getElementById('line').textContent !== ''")
    page.evaluate("window.before = true")
    server.close()
    server, again = start(port, token)
    assert again == port
    until(page, result)
    context.close()
    server.close()
