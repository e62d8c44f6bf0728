"""Events as lines of JSON."""

import pytest

from apo_bringup.chaos.events import Command, Estop, News, Pose, decode, encode


@pytest.mark.parametrize(
    "event",
    [
        Command(5, 1, (0.5, -1.0), "POLICY", "policy_in_control", 10, 9, 8),
        Pose(7, (0.0, 0.1, 1.0), True),
        Estop(9, True),
        News(3, "episode", {"event": "SAVED"}),
    ],
)
def test_an_event_survives_its_line(event):
    assert decode(encode(event)) == event


def test_the_line_of_an_event_is_known():
    assert encode(Pose(7, (0.0, 0.5, 1.0))) == '["Pose",7,[0.0,0.5,1.0],false]'


@pytest.mark.parametrize("line", ["", "x", "[]", "{}", '["Pose"]', '["Unknown",1]', "[1, 2]"])
def test_a_line_that_is_no_event_is_none(line):
    assert decode(line) is None
