"""The one thing that a person must do now."""

import pytest

from apo_console.view.alarms import ALARM, NOTICE, OK, REMEDIES, WARNING, Signs, alarm
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
