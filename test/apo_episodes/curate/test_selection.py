from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apo_core.errors import EpisodeToolError
from apo_episodes.curate.selection import Selection, draw_parts, moment
from apo_episodes.reader import read_episode

DAY = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "accepted"),
    [
        ({}, True),
        ({"outcomes": frozenset({"SUCCESS"})}, True),
        ({"outcomes": frozenset({"FAILURE", "UNLABELED"})}, False),
        ({"kinds": frozenset({"INTERACTION"})}, True),
        ({"kinds": frozenset({"DEMONSTRATION"})}, False),
        ({"tasks": frozenset({"Lift"})}, True),
        ({"tasks": frozenset({"Stack"})}, False),
        ({"operators": frozenset({"ann", "bob"})}, True),
        ({"operators": frozenset({"bob"})}, False),
        ({"adapters": frozenset({2, 3})}, True),
        ({"adapters": frozenset({0})}, False),
        ({"min_steps": 4, "max_steps": 4}, True),
        ({"min_steps": 5}, False),
        ({"max_steps": 3}, False),
        ({"intervened": True}, True),
        ({"intervened": False}, False),
        ({"lossless": True}, False),
        ({"tags": {"round": "1"}}, True),
        ({"tags": {"round": "2"}}, False),
        ({"tags": {"other": "1"}}, False),
        ({"since": DAY, "until": DAY + timedelta(days=1)}, True),
        ({"since": DAY + timedelta(hours=4)}, False),
        ({"until": DAY}, False),
        ({"outcomes": frozenset({"SUCCESS"}), "operators": frozenset({"bob"})}, False),
    ],
)
def test_every_part_must_hold(write, options, accepted):
    episode = read_episode(write("PPHP", losses={"frames_recorded": 4, "frames_lost": 1}), images=False)
    assert Selection(**options).accepts(episode) is accepted


def test_what_was_recorded_is_no_loss(write):
    episode = read_episode(write("PP", losses={"frames_recorded": 2, "frames_lost": 0}), images=False)
    assert Selection(lossless=True).accepts(episode)


def test_a_date_that_cannot_be_compared_is_named(write):
    episode = read_episode(write("PP", created_utc="yesterday"), images=False)
    assert Selection().accepts(episode)
    with pytest.raises(EpisodeToolError, match=r"e1\.h5: created_utc = 'yesterday' is not an ISO 8601 date"):
        Selection(since=DAY).accepts(episode)


@pytest.mark.parametrize(
    ("text", "end", "expected"),
    [
        ("2026-01-02", False, DAY),
        ("2026-01-02", True, DAY + timedelta(days=1)),
        ("2026-01-02T03:00", True, DAY + timedelta(hours=3)),
        ("2026-01-02T03:00+02:00", False, datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_moments(text, end, expected):
    assert moment(text, end) == expected


def test_the_same_seed_draws_the_same_parts():
    parts = draw_parts(10, {"valid": 0.2, "train": 0.8}, seed=3)
    assert parts == draw_parts(10, {"valid": 0.2, "train": 0.8}, seed=3)
    assert parts != draw_parts(10, {"valid": 0.2, "train": 0.8}, seed=4)
    assert [len(members) for members in parts.values()] == [2, 8]


@given(
    st.integers(0, 60),
    st.lists(st.floats(0.01, 1), min_size=1, max_size=4),
    st.integers(0, 5),
)
def test_parts_are_disjoint_and_of_their_size(count, weights, seed):
    shares = {str(i): weight / sum(weights) for i, weight in enumerate(weights)}
    parts = draw_parts(count, shares, seed)
    members = [index for part in parts.values() for index in part]
    assert sorted(members) == list(range(count))
    for name, part in parts.items():
        assert part == sorted(part)
        assert abs(len(part) - count * shares[name]) < 1 + 1e-6


@pytest.mark.parametrize("shares", [{"a": 0.0}, {"a": -0.1, "b": 0.5}, {"a": 0.6, "b": 0.5}, {"a": float("nan")}])
def test_shares_that_make_no_sense_are_rejected(shares):
    with pytest.raises(EpisodeToolError, match="shares must be above 0 and at most 1 in sum"):
        draw_parts(10, shares, 0)
