"""Drives of a policy in an episode, and the chunks before trouble."""

import numpy as np
import pytest

from apo_core.types import ControlSource, Outcome
from apo_trainer.help.drives import Drive, End, Span, spans

SOURCES = {"p": ControlSource.POLICY, "H": ControlSource.HUMAN, ".": ControlSource.HOLD}


def found(text: str, outcome: Outcome) -> list[Span]:
    return spans([SOURCES[letter] for letter in text], outcome)


def test_a_drive_ends_with_the_takeover_or_the_episode():
    assert found("ppppHHpp", Outcome.SUCCESS) == [Span(0, 4, End.TAKEOVER), Span(6, 8, End.SUCCESS)]
    assert found("ppppHHpp", Outcome.FAILURE) == [Span(0, 4, End.TAKEOVER), Span(6, 8, End.FAILURE)]


def test_the_operator_at_the_end_leaves_no_last_drive():
    assert found("ppHH", Outcome.FAILURE) == [Span(0, 2, End.TAKEOVER)]


def test_a_hold_ends_no_drive():
    assert found(".pp..pH", Outcome.SUCCESS) == [Span(0, 6, End.TAKEOVER)]


def test_a_span_without_the_policy_is_no_drive():
    assert found("..HH..", Outcome.FAILURE) == []


def test_an_unknown_outcome_is_rejected():
    with pytest.raises(ValueError, match="without an outcome"):
        found("pp", Outcome.UNLABELED)


def drive(ended_by: End) -> Drive:
    stamps = np.array([0, 1_000_000_000, 2_000_000_000, 3_000_000_000])
    return Drive(stamps, np.zeros((4, 10)), end_ns=4_000_000_000, ended_by=ended_by, driven_s=4.0)


def test_chunks_within_the_horizon_are_near_trouble():
    for ended_by in (End.TAKEOVER, End.FAILURE):
        assert drive(ended_by).near_trouble(2.0).tolist() == [False, False, True, True]
    assert drive(End.SUCCESS).near_trouble(2.0).tolist() == [False] * 4
