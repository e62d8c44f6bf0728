"""Figures of scores on episodes made by hand."""

import math

import numpy as np
import pytest

from apo_trainer.help.drives import Drive, DrivenEpisode, End
from apo_trainer.help.measures import Alarms, alarms, auroc, highest_score, rankings

SECOND = 1_000_000_000


def first(features: np.ndarray) -> np.ndarray:
    return features[:, 0]


def drive(scores, ended_by: End) -> Drive:
    """A chunk a second, the last of them a second before the end."""
    features = np.array(scores, np.float64).reshape(-1, 1)
    return Drive(np.arange(len(scores)) * SECOND, features, len(scores) * SECOND, ended_by, float(len(scores)))


GOOD = DrivenEpisode("good", (drive([0, 1, 0, 1], End.SUCCESS),), True)
NOISY = DrivenEpisode("noisy", (drive([0, 3, 0, 3], End.SUCCESS),), True)
AIDED = DrivenEpisode("aided", (drive([0, 0, 3, 3], End.TAKEOVER), drive([0, 0], End.SUCCESS)), False)
MISSED = DrivenEpisode("missed", (drive([0, 0], End.FAILURE),), False)


def test_the_area_counts_pairs_in_order():
    assert auroc(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True])) == 1.0
    assert auroc(np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, False, True])) == 0.5
    assert auroc(np.array([1.0, 2.0, 2.0]), np.array([False, False, True])) == 0.75
    assert math.isnan(auroc(np.array([1.0, 2.0]), np.array([True, True])))


def test_alarms_are_counted_by_episode_and_by_drive():
    found = alarms(first, 2.0, [GOOD, NOISY, AIDED, MISSED])

    # three alarms begin in 16 s; of two unaided successes one has an alarm; the takeover comes 2 s after its alarm
    assert found == Alarms(11.25, 1, 2, 1, 2, 2.0)
    assert found.text == ["11.2", "1 of 2 (9% .. 91%)", "1 of 2 (9% .. 91%)", "2.00 s"]


def test_without_an_alarm_there_is_no_lead():
    found = alarms(first, 9.0, [MISSED])
    assert found == Alarms(0.0, 0, 0, 0, 1, None)
    assert found.text == ["0.0", "-", "0 of 1 (0% .. 79%)", "-"]


def test_the_highest_score_is_of_all_drives():
    assert highest_score(first, AIDED) == 3.0


def test_rankings_are_of_chunks_and_vary_with_episodes():
    episodes = [GOOD, NOISY, AIDED, MISSED] * 5
    (own, other), gain = rankings([first, lambda features: -features[:, 0]], episodes, horizon_s=2.0)

    assert own.auroc + other.auroc == pytest.approx(1.0)
    assert gain.auroc == pytest.approx(own.auroc - other.auroc)
    assert own.low < own.auroc < own.high
    assert gain.low < gain.auroc < gain.high
    assert rankings([first, first], episodes, 2.0)[1].high == 0.0


def test_rankings_repeat():
    episodes = [GOOD, NOISY, AIDED, MISSED]
    assert rankings([first], episodes, 2.0)[0] == rankings([first], episodes, 2.0)[0]
