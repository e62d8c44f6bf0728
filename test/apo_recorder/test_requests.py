from datetime import UTC, datetime

import pytest

from apo_core.types import Outcome, TaskProgress
from apo_recorder.requests import (
    AutoEnd,
    AutoEpisodes,
    AutoStart,
    episode_id,
    parse_outcome,
    parse_tags,
)


def test_ids_sort_by_time_and_are_file_names():
    first = episode_id(datetime(2026, 11, 21, 9, 15, 0, 123, UTC), "Lift")
    assert first == "20261121T091500_000123_Lift"
    assert first < episode_id(datetime(2026, 11, 21, 9, 15, 0, 124, UTC), "Assembly")
    assert episode_id(datetime(2026, 1, 2, tzinfo=UTC), "../put it / there!") == "20260102T000000_000000_put-it-there"
    assert episode_id(datetime(2026, 1, 2, tzinfo=UTC), "").endswith("_task")
    assert len(episode_id(datetime(2026, 1, 2, tzinfo=UTC), "x" * 300)) == 128


def test_tags():
    assert parse_tags(["round=1", "note=a=b", "empty="]) == {"round": "1", "note": "a=b", "empty": ""}
    with pytest.raises(ValueError, match=r"\['round', '=1'\] must be of the form key=value"):
        parse_tags(["round", "=1", "a=b"])


def test_outcomes():
    assert parse_outcome("SUCCESS") is Outcome.SUCCESS
    assert parse_outcome("DISCARD") is None
    with pytest.raises(ValueError, match="outcome = 'success' must be one of"):
        parse_outcome("success")


def progress(trial: int, running: bool, **changes) -> TaskProgress:
    fields = {"stamp_ns": 1, "trial": trial, "seed": 40 + trial, "running": running, "success": False}
    return TaskProgress(**{**fields, "truncated": False, "last_observation_stamp_ns": 77, **changes})


@pytest.mark.parametrize(
    ("success", "truncated", "end"),
    [
        (True, False, AutoEnd(Outcome.SUCCESS, "task_success", False, 77)),
        (False, True, AutoEnd(Outcome.FAILURE, "step_limit", True, 77)),
        (False, False, AutoEnd(Outcome.FAILURE, "task_stopped", False, 77)),
    ],
)
def test_every_trial_is_an_episode(success, truncated, end):
    auto = AutoEpisodes()
    assert auto.on_progress(progress(0, False)) == []
    assert auto.on_progress(progress(1, True)) == [AutoStart(41)]
    assert auto.on_progress(progress(1, True)) == []
    assert auto.on_progress(progress(1, False, success=success, truncated=truncated)) == [end]
    assert auto.on_progress(progress(1, False, success=success, truncated=truncated)) == []
    assert auto.on_progress(progress(2, True)) == [AutoStart(42)]


def test_trial_that_was_cut_off_is_ended_unlabeled():
    auto = AutoEpisodes()
    auto.on_progress(progress(1, True))
    assert auto.on_progress(progress(2, True)) == [
        AutoEnd(Outcome.UNLABELED, "trial_abandoned", False, 0),
        AutoStart(42),
    ]


@pytest.mark.parametrize(("ended", "actions"), [(False, ["trial_abandoned", 41]), (True, [41])])
def test_the_same_trial_of_a_restarted_simulation_is_another_episode(ended, actions):
    auto = AutoEpisodes()
    for step in range(4):
        auto.on_progress(progress(1, True, step=step))
    if ended:
        auto.on_progress(progress(1, False, step=4))
    found = auto.on_progress(progress(1, True, step=0))
    assert [getattr(each, "reason", None) or each.seed for each in found] == actions
    assert auto.on_progress(progress(1, True, step=0)) == auto.on_progress(progress(1, True, step=1)) == []
    assert [each.reason for each in auto.on_progress(progress(1, False, step=2, success=True))] == ["task_success"]
