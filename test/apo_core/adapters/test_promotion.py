"""What the policies shall serve, and what a rollback goes back to."""

import pytest

from apo_core.adapters.promotion import Promotion, from_document
from apo_core.errors import AdapterError

T1, T2, T3 = "2026-01-02T00:00:00+00:00", "2026-01-03T00:00:00+00:00", "2026-01-04T00:00:00+00:00"
DOCUMENT = {
    "schema": "apo.promotion",
    "schema_version": 1,
    "number": 3,
    "sequence": 7,
    "history": [0, 1, 2],
    "changed_utc": T1,
    "reason": "better",
}


def test_before_the_first_promotion_the_base_policy_serves():
    assert (Promotion().number, Promotion().sequence, Promotion().history) == (0, 0, ())


def test_a_promotion_remembers_what_was_there_before():
    promotion = Promotion().promoted(4, T1, "first").promoted(9, T2, "second")
    assert promotion == Promotion(9, 2, (0, 4), T2, "second")


def test_what_is_promoted_already_rises_in_sequence_only():
    once = Promotion().promoted(4, T1, "first")
    assert once.promoted(4, T2, "again") == Promotion(4, 2, (0,), T2, "again")


def test_rollbacks_go_back_one_by_one_to_the_base_policy():
    third = Promotion(3, 3, (0, 1, 2), T1, "")
    second = third.rolled_back({1, 2, 3}, T2, "bad")
    assert second == Promotion(2, 4, (0, 1), T2, "bad")
    base = second.rolled_back({1}, T2, "").rolled_back({1}, T3, "")
    assert base == Promotion(0, 6, (), T3, "")
    with pytest.raises(AdapterError, match="nothing to roll back to"):
        base.rolled_back({1}, T3, "")


def test_a_rollback_skips_unusable_adapters():
    assert Promotion(3, 3, (0, 1, 2), T1, "").rolled_back({1}, T2, "") == Promotion(1, 4, (0,), T2, "")


def test_without_a_history_a_rollback_gives_the_base_policy():
    assert Promotion(3, 1, (), T1, "").rolled_back({3}, T2, "") == Promotion(0, 2, (), T2, "")


def test_the_history_is_bounded():
    assert len(Promotion(2, 5, tuple([1, 2] * 500), T1, "").promoted(7, T2, "").history) == 1000


def test_a_document_comes_back_as_written():
    assert from_document(DOCUMENT) == Promotion(3, 7, (0, 1, 2), T1, "better")
    assert from_document(DOCUMENT).as_document() == DOCUMENT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "this software reads 'apo.promotion' 1"),
        ({"number": -1}, "number = -1 must be 0"),
        ({"number": True}, "number = True must be 0"),
        ({"number": 2**32}, "number = 4294967296 must be 0"),
        ({"sequence": 1.5}, "sequence = 1.5 must be a count"),
        ({"history": "12"}, "history must be a list of at most 1000 adapter numbers"),
        ({"history": [1, "2"]}, "history must be a list"),
        ({"history": [1] * 1001}, "history must be a list"),
        ({"reason": "x" * 1025}, "reason must be a text of at most 1024 characters"),
        ({"other": 1}, "other is unknown"),
    ],
)
def test_a_wrong_document_is_rejected(change, message):
    with pytest.raises(AdapterError, match=message):
        from_document({**DOCUMENT, **change})


def test_a_missing_field_is_named():
    with pytest.raises(AdapterError, match="history is missing"):
        from_document({name: value for name, value in DOCUMENT.items() if name != "history"})
