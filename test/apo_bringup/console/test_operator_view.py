import io

import pytest

from apo_bringup.console.operator_view import KEYS, OperatorView
from apo_core.system.terminal import LiveLine
from apo_teleop.devices.keyboard import EVENTS

REST = [0.0] * 7


@pytest.fixture
def screen(monkeypatch) -> io.StringIO:
    """A terminal that is wide enough for every line."""
    monkeypatch.setenv("COLUMNS", "200")
    return io.StringIO()


@pytest.fixture
def plain(screen) -> OperatorView:
    return OperatorView(LiveLine(screen, live=False))


def test_connections_and_buttons_stay_on_lines_of_their_own(screen, plain):
    plain.show_device("spacemouse", False, False, REST, [])
    plain.show_device("spacemouse", False, False, REST, [])
    plain.show_device("spacemouse", True, False, REST, ["gripper_toggle", "estop"])
    plain.show_device("spacemouse", False, False, REST, [])
    assert screen.getvalue() == (
        "spacemouse: not connected\nspacemouse: connected\nbutton: gripper_toggle\nbutton: estop\n"
        "spacemouse: not connected\n"
    )


def test_motion_source_and_running_episode_are_one_live_line(screen):
    view = OperatorView(LiveLine(screen, live=True))
    view.show_device("joy", True, False, REST, [])
    assert screen.getvalue().endswith("rests  vx +0.00  vy +0.00  vz +0.00  wx +0.00  wy +0.00  wz +0.00  (m/s, rad/s)")
    view.show_device("joy", True, True, [0.4, -0.1, 0, 0, 0, -1.5, 0], [])
    motion = "moves  vx +0.40  vy -0.10  vz +0.00  wx +0.00  wy +0.00  wz -1.50  (m/s, rad/s)"
    assert screen.getvalue().endswith(f"\x1b[2K{motion}")
    view.show_control("HUMAN", "operator_motion", False)
    assert screen.getvalue().endswith(f"\x1b[2KHUMAN  |  {motion}")
    view.show_episode("STARTED", "e7", "", "", 0, 0)
    assert screen.getvalue().endswith(f"\x1b[2KHUMAN  |  records e7  |  {motion}")
    view.show_episode("SAVED", "e7", "SUCCESS", "operator_success", 12, 1)
    assert screen.getvalue().endswith(f"\x1b[2KHUMAN  |  {motion}")


def test_episodes_stay_on_lines_with_their_results(screen, plain):
    plain.show_episode("STARTED", "e7", "", "", 0, 0)
    plain.show_episode("SAVED", "e7", "SUCCESS", "operator_success", 12, 1)
    plain.show_episode("DISCARDED", "e7", "", "undone", 0, 0)
    assert screen.getvalue() == (
        "episode e7 STARTED\nepisode e7 SAVED SUCCESS: 12 steps, takeovers: 1\nepisode e7 DISCARDED: undone\n"
    )


def test_a_request_for_help_is_shown_when_it_begins_and_ends(screen, plain):
    for wanted, entropy in ((False, 1.0), (True, 9.5), (True, 9.9), (False, 2.0)):
        plain.show_uncertainty(wanted, entropy)
    assert screen.getvalue() == (
        "the policy asks for help: take over (entropy 9.50 nats)\n"
        "the policy no longer asks for help (entropy 2.00 nats)\n"
    )


def test_what_a_person_must_clear_is_shown_once(screen, plain):
    for state, reason, latched in (
        ("POLICY", "policy_in_control", False),
        ("ESTOP", "estop", True),
        ("ESTOP", "estop", True),
        ("POLICY", "policy_in_control", False),
    ):
        plain.show_control(state, reason, latched)
    assert screen.getvalue() == "ESTOP: estop, until cleared\n"


def test_a_device_that_nobody_has_used_is_asked_for_once(screen, plain):
    for _ in range(3):
        plain.show_device("spacemouse", True, False, REST, ["present"])
        plain.show_control("HOLD", "operator_unused", False)
    assert screen.getvalue() == (
        "spacemouse: connected\nHOLD: operator_unused: move the operator's device or press a button of it once\n"
    )


def test_a_rejected_key_shows_why_and_an_accepted_one_its_message(screen, plain):
    plain.show_answer("success", False, "no episode is running")
    plain.show_answer("start", True, "")
    plain.show_answer("clear", True, "cleared estop")
    assert screen.getvalue() == "success rejected: no episode is running\nclear: cleared estop\n"


def test_its_keys_are_those_of_the_keyboard_device():
    assert {key: event for key, event in EVENTS.items() if event != "gripper_toggle"} == KEYS
