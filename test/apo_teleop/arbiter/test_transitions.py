"""The state table: one row a reason, by priority."""

from apo_teleop.arbiter.transitions import TRANSITIONS, next_transition
from apo_teleop.arbiter.types import ControlState, Reason


def test_every_reason_has_one_row_and_rows_come_by_priority():
    reasons = [row.reason for row in TRANSITIONS]
    assert reasons == list(dict.fromkeys(reasons)), "a second row of a reason is never reached"
    assert set(reasons) == set(Reason) - {Reason.DEACTIVATED}
    for index, row in enumerate(TRANSITIONS):
        assert next_transition({later.reason for later in TRANSITIONS[index:]}) is row


def test_without_any_reason_the_policy_is_in_control():
    assert next_transition(()).target is ControlState.POLICY


def test_two_reasons_are_published_under_another_name():
    published = {row.reason: row.published for row in TRANSITIONS if row.published is not row.reason}
    assert published == {Reason.LATCHED: None, Reason.STANDBY_OPERATOR_INVALID: Reason.OPERATOR_INVALID}


def test_an_invalid_operator_latches_only_in_control():
    assert next_transition({Reason.OPERATOR_INVALID}).latches
    assert not next_transition({Reason.STANDBY_OPERATOR_INVALID}).latches
