"""When a training starts unasked. Times: a Monday, local."""

from datetime import datetime

import pytest

from apo_core.errors import ConfigError
from apo_trainer.service.schedule import Triggers, parse_times


def at(hour: int, minute: int = 0, day: int = 5) -> datetime:
    return datetime(2026, 1, day, hour, minute)


def test_enough_new_episodes_start_a_run():
    triggers = Triggers(20, 0.0, (), 0.0, at(12))
    assert triggers.due(1.0, at(12), 19) == ""
    assert triggers.due(1.0, at(12), 20) == "20 new episodes"
    assert triggers.due(1.0, at(12), 23) == "23 new episodes"


def test_nothing_starts_where_nothing_is_configured():
    triggers = Triggers(0, 0.0, (), 0.0, at(12))
    assert triggers.due(1e9, at(13), 1000) == ""


def test_a_time_after_the_last_run_starts_one_when_there_is_something_new():
    triggers = Triggers(0, 60.0, (), 100.0, at(12))
    assert triggers.due(159.0, at(12), 3) == ""
    assert triggers.due(160.0, at(12), 0) == ""
    assert triggers.due(160.0, at(12), 3) == "60 s since the last run, 3 new episodes"
    triggers.started(170.0)
    assert triggers.due(229.0, at(12), 3) == ""
    assert triggers.due(230.0, at(12), 1) != ""


def test_a_time_of_the_day_starts_a_run_once():
    triggers = Triggers(0, 0.0, (150, 840), 0.0, at(2))
    assert triggers.due(0.0, at(2, 29), 3) == ""
    assert triggers.due(0.0, at(2, 30), 3) == "it is 02:30, 3 new episodes"
    triggers.started(0.0)
    assert triggers.due(0.0, at(2, 31), 3) == ""
    assert triggers.due(0.0, at(14, 0), 3) == "it is 14:00, 3 new episodes"


def test_a_time_that_passes_during_a_run_counts_after_it():
    triggers = Triggers(0, 0.0, (150,), 0.0, at(2, 29))
    # asked again after a long run
    assert triggers.due(9000.0, at(5), 3) == "it is 02:30, 3 new episodes"


def test_a_time_stays_due_until_a_run_starts_or_nothing_is_new():
    triggers = Triggers(0, 0.0, (150,), 0.0, at(2, 29))
    assert triggers.due(0.0, at(2, 30), 3) != ""
    assert triggers.due(1.0, at(2, 31), 3) != ""
    assert triggers.due(2.0, at(2, 32), 0) == ""
    assert triggers.due(3.0, at(2, 33), 3) == ""


def test_a_run_that_could_not_start_is_due_again_after_a_minute():
    triggers = Triggers(20, 0.0, (), 0.0, at(12))
    assert triggers.due(1.0, at(12), 20) != ""
    triggers.failed(1.0)
    assert triggers.due(60.5, at(12), 20) == ""
    assert triggers.due(61.0, at(12), 20) == "20 new episodes"


def test_midnight_is_passed_between_two_days():
    triggers = Triggers(0, 0.0, (0,), 0.0, at(23, 59))
    assert triggers.due(0.0, at(0, 1, day=6), 1) == "it is 00:00, 1 new episodes"


def test_a_clock_that_is_set_back_starts_nothing():
    triggers = Triggers(0, 0.0, (150,), 0.0, at(2, 31))
    assert triggers.due(0.0, at(2, 29), 3) == ""


@pytest.mark.parametrize(
    ("text", "minutes"), [("", ()), (" ", ()), ("02:30", (150,)), ("14:00, 2:30", (150, 840)), ("23:59", (1439,))]
)
def test_times_of_the_day_are_minutes(text, minutes):
    assert parse_times(text) == minutes


@pytest.mark.parametrize("text", ["24:00", "2", "12:60", "noon", "02:30;14:00"])
def test_what_is_no_time_of_the_day_is_named(text):
    with pytest.raises(ConfigError, match=r"must be a time of the day, HH:MM \(config/trainer.yaml\)"):
        parse_times(text)
