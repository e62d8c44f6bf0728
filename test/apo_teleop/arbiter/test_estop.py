"""Publishers of the emergency stop topic, identified by the middleware or not."""

import pytest

from apo_teleop.arbiter.estop import EstopSignal

SECOND = 1_000_000_000


def test_without_a_message_there_is_no_stop():
    assert not EstopSignal().held(0)


def test_a_stop_holds_until_its_publisher_withdraws_it():
    signal = EstopSignal()
    signal.on_message(True, 0)
    assert signal.held(3600 * SECOND)
    signal.on_message(False, 3600 * SECOND)
    assert not signal.held(3600 * SECOND)


def test_a_repeated_stop_is_not_withdrawn_by_another_publisher():
    signal = EstopSignal()
    for second in range(5):
        signal.on_message(True, second * SECOND)
        signal.on_message(False, second * SECOND + 1)
        assert signal.held(second * SECOND + 2)
    assert signal.held(6 * SECOND - 1)
    assert not signal.held(6 * SECOND)


def test_one_alone_that_takes_it_back_holds_no_longer():
    signal = EstopSignal()
    signal.count(1)
    signal.on_message(True, 0)
    assert signal.held(1)
    signal.on_message(False, 2)
    assert not signal.held(3)
    signal.count(2)
    assert signal.held(4)


def test_one_that_is_gone_no_longer_holds():
    signal = EstopSignal()
    signal.on_message(True, 0)
    signal.count(1)
    assert signal.held(1)
    signal.count(0)
    assert not signal.held(1)


ONE, OTHER = b"one", b"other"


def test_a_true_holds_until_the_same_publisher_sends_false():
    signal = EstopSignal()
    signal.count(2)
    signal.on_message(True, 0)
    signal.on_identified(ONE, 1, True)
    for number in range(1, 100):
        signal.on_message(False, number * SECOND)
        signal.on_identified(OTHER, number, False)
        assert signal.held(number * SECOND)
    signal.on_identified(ONE, 2, False)
    assert not signal.held(100 * SECOND)


def test_a_message_that_comes_again_after_newer_ones_changes_nothing():
    signal = EstopSignal()
    for number, stop in ((1, True), (2, False), (1, True)):
        signal.on_identified(ONE, number, stop)
    assert not signal.held(SECOND)


def test_a_true_counts_before_its_publisher_is_known():
    signal = EstopSignal()
    signal.on_identified(OTHER, 1, False)
    signal.on_message(True, SECOND)
    assert signal.held(SECOND)
    assert not signal.held(2 * SECOND)


def test_a_known_publisher_that_withdraws_its_stop_ends_it_at_once():
    signal = EstopSignal()
    signal.on_message(True, 0)
    signal.on_identified(b"console", 1, True)
    signal.on_message(True, 1)  # the same message by another subscription
    signal.on_identified(b"console", 2, False)
    assert not signal.held(2)
    signal.on_message(True, 3)  # of a publisher that is not known yet
    assert signal.held(4)


def test_a_publisher_that_is_gone_with_its_stop_is_reported_once():
    signal = EstopSignal()
    signal.on_identified(ONE, 1, True)
    signal.on_identified(OTHER, 1, False)
    assert not signal.present({ONE, OTHER})
    assert signal.present({OTHER})
    assert not signal.held(0) and not signal.present({OTHER})


@pytest.mark.parametrize("number", [0, 2**64 - 1])
def test_without_numbers_the_message_that_arrived_last_counts(number):
    signal = EstopSignal()
    signal.count(2)
    for stop in (False, True, False, True):
        signal.on_message(stop, 0)
        signal.on_identified(ONE, number, stop)
        signal.on_identified(OTHER, number, False)
        assert signal.held(SECOND) == stop
