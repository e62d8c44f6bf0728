"""Events as lines of JSON."""

import pytest

from apo_bringup.chaos.events import (
    Command,
    Estop,
    ForeignPose,
    InOrder,
    News,
    Now,
    Pose,
    StopRequests,
    decode,
    encode,
)


@pytest.mark.parametrize(
    "event",
    [
        Command(5, 1, (0.5, -1.0), "POLICY", "policy_in_control", 10, 9, 8),
        Pose(7, (0.0, 0.1, 1.0), 3),
        ForeignPose(8, 3),
        Estop(9, True),
        News(3, "episode", {"event": "SAVED"}),
    ],
)
def test_an_event_survives_its_line(event):
    assert decode(encode(event)) == event


def test_the_line_of_an_event_is_known():
    assert encode(Pose(7, (0.0, 0.5, 1.0))) == '["Pose",7,[0.0,0.5,1.0],0]'


@pytest.mark.parametrize("line", ["", "x", "[]", "{}", '["Pose"]', '["Unknown",1]', "[1, 2]"])
def test_a_line_that_is_no_event_is_none(line):
    assert decode(line) is None


def test_events_come_out_in_the_order_of_their_times():
    second, order = 1_000_000_000, InOrder(1.0)
    assert list(order.add(Now(5 * second))) == []
    assert list(order.add(Now(4 * second))) == [Now(4 * second)]
    assert list(order.add(Now(int(5.5 * second)))) == []
    assert list(order.add(Now(7 * second))) == [Now(5 * second), Now(int(5.5 * second))]
    assert list(order.add(Now(6 * second))) == [Now(6 * second)]
    assert list(order.rest()) == [Now(7 * second)]
    assert list(order.rest()) == []


STOP, CLEAR = "arbiter/estop", "arbiter/clear"


@pytest.mark.parametrize(
    ("calls", "stops"),
    [
        ([(1, "asked", STOP, None), (2, "answer", STOP, True)], [Estop(2, True)]),
        ([(1, "answer", STOP, False)], []),
        ([(1, "answer", STOP, True), (5, "asked", CLEAR, None)], [Estop(1, True), Estop(5, False)]),
        ([(5, "asked", CLEAR, None), (9, "answer", CLEAR, True)], [Estop(5, False)]),
        (
            [(1, "answer", STOP, True), (5, "asked", CLEAR, None), (9, "answer", CLEAR, False)],
            [Estop(1, True), Estop(5, False), Estop(9, True)],
        ),
        ([(5, "asked", CLEAR, None), (9, "answer", CLEAR, False)], [Estop(5, False)]),
    ],
)
def test_a_stop_holds_from_its_answer_to_the_call_that_clears_it(calls, stops):
    requests = StopRequests()
    made = []
    for t, what, service, success in calls:
        made += requests.on_news(News(t, what, {"service": service, "success": success}))
    assert made == stops
