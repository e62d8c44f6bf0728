"""The one thing that a person must do now."""

import pytest

from apo_console.view.alarms import ALARM, NOTICE, OK, REMEDIES, WARNING, Alarm, Signs, SteadyAlarm, alarm
from apo_teleop.arbiter.types import Reason


def test_every_reason_of_the_arbiter_has_words():
    assert set(REMEDIES) == set(map(str, Reason))


@pytest.mark.parametrize(
    ("signs", "level", "words"),
    [
        (Signs(None), WARNING, "No arbiter has reported yet."),
        (Signs(3.2, "POLICY", "policy_in_control"), ALARM, "The arbiter has been silent for 3 s."),
        (Signs(0.1, "ESTOP", "estop", True), ALARM, "Emergency stop."),
        (Signs(0.1, "HOLD", "robot_not_following", True), ALARM, "The robot does not follow."),
        (Signs(0.1, "HOLD", "observation_stale"), WARNING, "The end-effector pose is too old."),
        (Signs(0.1, "IDLE", "disabled"), WARNING, "Nobody may drive."),
        (Signs(0.1, "POLICY", "policy_in_control", help_wanted=True), WARNING, "The policy asks for help."),
        (Signs(0.1, "HUMAN", "operator_motion", help_wanted=True), OK, "The operator drives."),
        (Signs(0.1, "HUMAN", "operator_rest"), NOTICE, "The operator has control and rests."),
        (Signs(0.1, "HOLD", "awaiting_fresh_chunk"), OK, "Waits for an action of the policy."),
        (
            Signs(0.1, "POLICY", "policy_in_control", problems=("recorder: loses data",)),
            WARNING,
            "recorder: loses data",
        ),
        (Signs(0.1, "POLICY", "policy_in_control"), OK, "The policy drives."),
        (Signs(0.1, "HOLD", "new_reason"), WARNING, "HOLD: new_reason"),
    ],
)
def test_the_most_urgent_thing_is_shown(signs, level, words):
    shown = alarm(signs)
    assert (shown.level, shown.text) == (level, words)


def test_what_is_latched_comes_with_what_to_do():
    for reason in REMEDIES:
        assert alarm(Signs(0.0, "HOLD", reason, latched=True)).action != ""


CALM = Alarm(OK, "The policy drives.", "")
WARN = Alarm(WARNING, "The policy's action has ended before the next came.", "Check the load of its machine.")
STOP = Alarm(ALARM, "Emergency stop.", "Make sure the robot is safe, then clear.")


def shown(*found, step_s=0.1):
    """What shows after each of the alarms, `step_s` apart."""
    steady = SteadyAlarm(rise_s=0.3, fall_s=1.0)
    return [steady.update(10.0 + i * step_s, one) for i, one in enumerate(found)]


def test_the_first_alarm_and_a_stop_show_at_once():
    assert shown(WARN) == [WARN]
    assert shown(CALM, STOP) == [CALM, STOP]


def test_a_short_warning_does_not_show():
    assert shown(CALM, WARN, WARN, CALM, CALM) == [CALM] * 5


def test_a_warning_shows_once_it_has_lasted():
    assert shown(CALM, WARN, WARN, WARN, WARN) == [CALM, CALM, CALM, CALM, WARN]


def test_a_warning_in_pieces_shows_too():
    found = shown(CALM, *[WARN, WARN, CALM] * 6)
    assert found[-1] == WARN and found.count(WARN) > 3


def test_an_alarm_stays_until_it_has_been_gone_for_a_second():
    assert shown(STOP, *[CALM] * 10) == [STOP] * 11
    assert shown(STOP, *[CALM] * 12)[-1] == CALM
    assert shown(STOP, CALM, CALM, CALM, CALM, CALM, STOP, *[CALM] * 9)[-1] == STOP


def test_alarms_of_one_level_take_turns_no_faster_than_a_second():
    other = Alarm(WARNING, "Nobody may drive.", "Enable when the robot is clear.")
    assert shown(WARN, other, WARN, other, WARN) == [WARN] * 5
    assert shown(WARN, *[other] * 12)[-1] == other
