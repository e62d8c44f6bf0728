"""One viewer drives, as long as its input arrives in time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apo_console.lease import Lease


@pytest.fixture
def lease():
    """Two viewers with measured lines."""
    lease = Lease(timeout_s=0.12, rest_timeout_s=0.5, max_round_trip_s=0.25)
    for viewer in ("anna", "ben"):
        lease.join(viewer)
        lease.on_asked(viewer, 1, 0.0)
        lease.on_answered(viewer, 1, 0.01)
    return lease


def test_who_asks_first_drives_and_the_other_is_rejected(lease):
    assert lease.request("anna", 1.0) == ""
    assert lease.request("ben", 1.0) == "somebody else drives"
    assert lease.holder == "anna"
    assert lease.on_input("anna", 1, 1.02, True)
    assert not lease.on_input("ben", 1, 1.02, True)
    assert lease.rejected == 1


def test_it_is_taken_over_on_purpose(lease):
    lease.request("anna", 1.0)
    assert lease.request("ben", 1.0, take_over=True) == ""
    assert (lease.holder, lease.reason) == ("ben", "taken over")
    assert not lease.on_input("anna", 1, 1.02, True)


def test_old_input_does_not_count(lease):
    lease.request("anna", 1.0)
    assert lease.on_input("anna", 7, 1.02, True)
    assert not lease.on_input("anna", 7, 1.03, True)
    assert not lease.on_input("anna", 6, 1.03, True)
    assert lease.on_input("anna", 8, 1.04, True)


def test_silence_ends_it(lease):
    lease.request("anna", 1.0)
    lease.on_input("anna", 1, 1.1, True)
    assert not lease.advance(1.21)
    assert lease.advance(1.23)
    assert (lease.holder, lease.reason) == ("", "no input for 0.13 s, lease_timeout_s = 0.12")
    assert not lease.on_input("anna", 2, 1.24, True), "it does not come back by itself"
    assert not lease.advance(2.0)


def test_at_rest_silence_may_be_longer(lease):
    lease.request("anna", 1.0)
    assert not lease.advance(1.4), "a new holder is at rest"
    lease.on_input("anna", 1, 1.4, False)
    assert not lease.advance(1.85)
    assert lease.advance(1.92)
    assert lease.reason == "no input for 0.52 s, lease_rest_timeout_s = 0.5"


def test_input_that_does_not_count_keeps_nobody_in(lease):
    lease.request("anna", 1.0)
    lease.on_input("anna", 5, 1.0, True)
    lease.on_input("anna", 5, 1.1, True)
    assert lease.advance(1.15)


def test_a_closed_page_ends_it(lease):
    lease.request("anna", 1.0)
    assert lease.leave("anna")
    assert (lease.holder, lease.reason) == ("", "the page was closed")
    assert lease.request("anna", 1.1) == "not connected"
    assert not lease.leave("ben")


def test_a_release_is_of_the_holder_alone(lease):
    lease.request("anna", 1.0)
    assert not lease.release("ben", "released")
    assert lease.release("anna", "released")
    assert not lease.release("", "released")


def test_a_long_line_may_not_drive(lease):
    lease.join("far")
    assert lease.request("far", 1.0) == "the round trip is not measured yet"
    lease.on_asked("far", 1, 1.0)
    lease.on_answered("far", 1, 1.3)
    assert lease.request("far", 1.3) == "round trip 300 ms, max_round_trip_s = 0.25"


def test_one_late_answer_is_no_long_line_but_several_are(lease):
    lease.request("anna", 1.0)
    for n in range(5):
        lease.on_asked("anna", n, 1.0)
        lease.on_answered("anna", n, 1.02)
    lease.on_asked("anna", 5, 1.02)
    lease.on_input("anna", 1, 1.5, True)
    assert not lease.advance(1.5)
    for n in range(5, 8):
        lease.on_asked("anna", n, 1.1)
        lease.on_answered("anna", n, 1.5)
    assert lease.advance(1.5)
    assert lease.reason == "round trip 400 ms, max_round_trip_s = 0.25"


def test_an_answer_without_a_request_is_no_round_trip(lease):
    before = lease.round_trip_s("anna", 1.0)
    lease.on_answered("anna", 2, 9.0)
    assert lease.round_trip_s("anna", 1.0) == before == pytest.approx(0.01)
    assert lease.round_trip_s("nobody", 1.0) is None


def test_a_line_longer_than_the_pause_between_requests_is_long(lease):
    """A request every 0.2 s, each answered after 0.3 s."""
    lease.join("far")
    events = [(0.2 * n, lease.on_asked, n) for n in range(9)] + [
        (0.2 * n + 0.3, lease.on_answered, n) for n in range(9)
    ]
    for at_s, event, number in sorted(events, key=lambda each: each[0]):
        event("far", number, at_s)
    assert lease.request("far", 2.0) == "round trip 300 ms, max_round_trip_s = 0.25"


def test_an_answer_to_a_newer_request_ends_the_wait(lease):
    lease.join("far")
    lease.on_asked("far", 1, 1.0)
    lease.on_asked("far", 2, 1.2)
    lease.on_answered("far", 2, 1.4)
    assert lease.round_trip_s("far", 1.4) == pytest.approx(0.4)
    assert lease.round_trip_s("far", 9.0) == pytest.approx(0.4)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["request", "take", "release", "input", "leave", "join", "advance"]),
        st.sampled_from(["anna", "ben"]),
        st.integers(0, 9),
        st.floats(0.0, 0.6),
        st.booleans(),
    ),
    max_size=60,
)


@given(STEPS)
def test_input_counts_of_the_holder_alone_and_never_after_a_pause(steps):
    lease, now, arrived, newest, limit = Lease(0.12, 0.5, 0.25), 0.0, {}, {}, {}
    for action, viewer, sequence, after, moves in steps:
        now += after
        lost = lease.advance(now)
        assert not (lost and lease.holder)
        if action == "join":
            lease.join(viewer)
            lease.on_asked(viewer, len(arrived), now)
            lease.on_answered(viewer, len(arrived), now)
        elif action in ("request", "take"):
            if lease.request(viewer, now, action == "take") == "":
                arrived[viewer], newest[viewer], limit[viewer] = now, -1, 0.5
                assert lease.holder == viewer
        elif action == "release":
            lease.release(viewer, "released")
        elif action == "leave":
            lease.leave(viewer)
            assert lease.holder != viewer
        elif action == "input" and lease.on_input(viewer, sequence, now, moves):
            assert lease.holder == viewer
            assert now - arrived[viewer] <= limit[viewer] + 1e-9
            assert sequence > newest[viewer]
            arrived[viewer], newest[viewer] = now, sequence
            limit[viewer] = 0.12 if moves else 0.5
