"""The server over real connections: who is let in, what is served, who drives."""

import http.client
import struct
import time

import pytest

pytest.importorskip("starlette", reason="starlette is missing: run 'make setup'")


from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from apo_console.server.robots import Answer

TOKEN = "a token of the test"
WAIT_S = 20.0


def get(port, path, headers=None, method="GET"):
    """(status, headers, body)"""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": f"127.0.0.1:{port}", **(headers or {})}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def cookie(port, token=TOKEN):
    return {"Cookie": f"apo_console_{port}={token}"}


def sample(sequence, *axes, held=False):
    return struct.pack("<BI6fB", 1, sequence, *axes, held)


def until(condition, what):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def test_the_printed_address_lets_in_and_the_token_leaves_the_address(console):
    _, port = console
    status, headers, _ = get(port, "/?token=a%20token%20of%20the%20test")
    assert (status, headers["location"]) == (303, "/")
    assert "HttpOnly" in headers["set-cookie"] and "SameSite=strict" in headers["set-cookie"]
    status, headers, body = get(port, "/", {"Cookie": headers["set-cookie"].partition(";")[0]})
    assert status == 200 and b"EMERGENCY STOP" in body
    assert headers["content-security-policy"].startswith("default-src 'none'")


def test_the_cookie_of_an_earlier_start_keeps_nobody_out(console):
    _, port = console
    for _ in range(30):  # a page that is still open tries again and again
        assert get(port, "/live", cookie(port, "of an earlier start"))[0] == 401
    status, headers, _ = get(port, "/?token=a%20token%20of%20the%20test", cookie(port, "of an earlier start"))
    assert (status, headers["set-cookie"].partition(";")[0]) == (303, f'apo_console_{port}="a token of the test"')


def test_a_wrong_token_in_an_address_replaces_no_cookie(console):
    _, port = console
    status, headers, _ = get(port, "/?token=wrong", cookie(port))
    assert status == 303 and "set-cookie" not in headers


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 401),
        ("/?token=wrong", {}, 401),
        ("/static/main.js", {}, 401),
        ("/", {"Cookie": "apo_console_1=a token of the test"}, 401),
        ("/?token=a%20token%20of%20the%20test", {"Host": "evil.example"}, 421),
    ],
)
def test_without_token_or_by_another_name_nothing_is_served(console, path, headers, status):
    found = get(console[1], path, headers)
    assert found[0] == status
    assert b"EMERGENCY" not in found[2]


def test_files_of_the_page_alone_are_served(console):
    _, port = console
    assert get(port, "/static/main.js", cookie(port))[0] == 200
    for path in (
        "/static/../console_node.py",
        "/static/..%2f..%2fsetup.py",
        "/static/%2e%2e/config.py",
        "/static//etc/passwd",
        "/static/....//config.py",
        "/etc/passwd",
        "/static/",
    ):
        assert get(port, path, cookie(port))[0] in (404, 405), path


def test_other_pages_may_not_post(console):
    _, port = console
    assert get(port, "/", {**cookie(port), "Origin": "http://evil.example"}, "POST")[0] == 403


def test_many_wrong_tokens_are_rejected_unread(console):
    _, port = console
    for n in range(20):
        assert get(port, "/", cookie(port, f"wrong {n}"))[0] == 401
    assert get(port, "/", cookie(port))[0] == 429


@pytest.mark.parametrize(
    "options", [{"token": "wrong"}, {"origin": "http://evil.example"}, {"origin": "http://127.0.0.1:1"}]
)
def test_no_live_data_for_strangers(open_page, options):
    with pytest.raises(InvalidHandshake):
        open_page(**options)


def test_a_page_sees_the_robots_and_itself(open_page):
    content = open_page("anna").measured().state()
    assert [robot["name"] for robot in content["robots"]] == ["left", "right"]
    assert content["you"]["name"] == "anna" and content["viewers"] == 1


def test_who_has_the_lease_drives(open_page, robots):
    page = open_page("anna").measured()
    page.send(sample(1, 1, 0, 0, 0, 0, 0))
    assert page.request("lease", robot=1, take_over=False)["accepted"]
    page.send(sample(2, 0.5, -0.25, 0, 0, 0, 0, held=True))
    until(lambda: robots.calls, "a sample")
    assert robots.calls == [("drive", 1, "anna", (0.5, -0.25, 0.0, 0.0, 0.0, 0.0), True, [])]
    assert page.request("event", robot=1, name="gripper_toggle")["accepted"]
    page.send(sample(3, 0, 0, 0, 0, 0, 0))
    until(lambda: len(robots.calls) == 2, "the next sample")
    assert robots.calls[1][-1] == ["gripper_toggle"]
    assert page.request("release", robot=1, reason="let go")["accepted"]
    assert robots.calls[2:] == [("let_go", 1)]


def test_a_button_of_an_earlier_lease_is_not_pressed_in_the_next(open_page, robots):
    page = open_page("anna").measured()
    page.request("lease", take_over=False)
    assert page.request("event", name="gripper_toggle")["accepted"]
    page.request("release", reason="let go")
    page.request("lease", robot=1, take_over=False)
    page.send(sample(1, 0, 0, 0, 0, 0, 0))
    until(lambda: len(robots.calls) == 2, "a sample")
    assert robots.calls[1] == ("drive", 1, "anna", (0.0,) * 6, False, [])


def test_of_two_one_drives_and_it_is_taken_over_on_purpose(open_page, robots):
    anna, ben = open_page("anna").measured(), open_page("ben").measured()
    assert anna.request("lease", take_over=False)["accepted"]
    assert ben.request("lease", take_over=False)["message"] == "anna drives"
    assert ben.state(lambda content: content["leases"][0]["holder"])["leases"][0]["holder"] == "anna"
    assert ben.request("clear")["message"] == "anna drives"
    assert ben.request("lease", take_over=True)["accepted"]
    anna.send(sample(9, 1, 0, 0, 0, 0, 0))
    assert anna.request("release", reason="")["message"] == "you do not drive"
    assert robots.calls == [("let_go", 0)]
    assert anna.state(lambda content: content["leases"][0]["holder"] == "ben")["leases"][0]["reason"] == "taken over"


def test_a_page_that_closes_lets_go(open_page, robots):
    page = open_page("anna").measured()
    page.request("lease", take_over=False)
    page.close()
    until(lambda: robots.calls == [("let_go", 0)], "the release")


def test_a_page_that_drives_another_robot_lets_go_of_the_first(open_page, robots):
    page = open_page("anna").measured()
    page.request("lease", robot=0, take_over=False)
    page.request("lease", robot=1, take_over=False)
    assert robots.calls == [("let_go", 0)]


def test_everybody_may_stop(open_page, robots):
    anna, ben = open_page("anna").measured(), open_page("ben").measured()
    anna.request("lease", take_over=False)
    assert ben.request("estop") == {"answer": 1, "accepted": True, "message": "done"}
    assert robots.calls == [("estop", 0, {})]


def test_what_nodes_answer_reaches_the_page(open_page, robots):
    robots.answers = {"train": Answer(False, "a run is going on"), "undo_last": RuntimeError("no such service")}
    page = open_page()
    assert page.request("train") == {"answer": 1, "accepted": False, "message": "a run is going on"}
    assert page.request("undo_last")["message"] == "RuntimeError: no such service"
    assert page.request("end_episode", outcome="SUCCESS")["accepted"]
    assert robots.calls[-1] == ("end_episode", 0, {"outcome": "SUCCESS"})


def test_too_many_pages_are_rejected(open_page):
    for _ in range(3):
        open_page().state()
    with pytest.raises((InvalidHandshake, ConnectionClosed)):
        open_page().state()


@pytest.mark.parametrize("message", [b"\x01" * 65, "{" + " " * 32768])
def test_an_oversized_message_closes_its_page_alone(open_page, console, message):
    page, other = open_page(), open_page()
    page.send(message)
    with pytest.raises(ConnectionClosed) as closed:
        page.until(lambda content: False)
    assert closed.value.rcvd.code == 1009
    assert other.state()["viewers"] >= 1
    assert console[0].rejected == {"too large": 1}


def test_messages_that_no_page_sends_are_counted_and_end_it(open_page, console):
    page = open_page()
    for _ in range(11):
        page.send("{}")
    with pytest.raises(ConnectionClosed):
        page.until(lambda content: False)
    assert console[0].rejected == {"request without a number and a robot": 11}


def test_a_flood_of_messages_ends_its_page(open_page):
    page = open_page()
    with pytest.raises(ConnectionClosed):
        for n in range(5000):
            page.send(sample(n, 0, 0, 0, 0, 0, 0))
        page.until(lambda content: False)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=80) | st.text(max_size=80), max_size=8))
def test_whatever_arrives_the_server_goes_on(console, open_page, messages):
    page = open_page()
    try:
        for message in messages:
            page.send(message)
    finally:
        page.close()
    again = open_page()
    assert again.state()["robots"][0]["name"] == "left"
    again.close()


def test_frames_reach_a_page_one_at_a_time(open_page, console):
    hub, page = console[0], open_page().measured()
    is_frame = lambda content: isinstance(content, bytes) and content[0] == 4  # noqa: E731
    hub.offer_frame(0, 1, 7, 123_456_789, b"picture")
    assert page.until(is_frame) == struct.pack("<BBBIq", 4, 0, 1, 7, 123_456_789) + b"picture"
    hub.offer_frame(0, 1, 8, 0, b"second")
    hub.offer_frame(0, 1, 9, 0, b"third")
    page.request("undo_last")  # all the messages before are through
    page.send(struct.pack("<BBBI", 3, 0, 1, 7))
    assert page.until(is_frame).endswith(b"third")
