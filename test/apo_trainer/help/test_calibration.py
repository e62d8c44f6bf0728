"""From episodes to a score, its threshold, and figures of others."""

import json

import numpy as np
import pytest

from apo_core.errors import EpisodeToolError
from apo_core.help.features import FEATURES
from apo_trainer.help.calibration import calibrate, check_enough, split
from apo_trainer.help.drives import Drive, DrivenEpisode, End

PERIOD_NS = 100_000_000
DWELL, ENTROPY = FEATURES.index("dwell_s"), FEATURES.index("entropy")


def episode(number: int, is_good: bool, rng: np.random.Generator, has_entropy: bool = True) -> DrivenEpisode:
    """Ten chunks; before a takeover the hand dwells, and the entropy only shows a little."""
    features = rng.standard_normal((10, len(FEATURES)))
    if not is_good:
        features[-5:, DWELL] += 4.0
        features[-5:, ENTROPY] += 0.5
    if not has_entropy:
        features[:, :2] = np.nan
    ended_by = End.SUCCESS if is_good else End.TAKEOVER
    drive = Drive(np.arange(10) * PERIOD_NS, features, 10 * PERIOD_NS, ended_by, 1.0)
    return DrivenEpisode(f"e{number:03d}", (drive,), is_good)


def episodes(good: int = 40, bad: int = 40, **options) -> list[DrivenEpisode]:
    rng = np.random.default_rng(3)
    return [episode(i, i < good, rng, **options) for i in range(good + bad)]


def test_the_score_beats_entropy_where_it_can():
    found = calibrate(episodes(), false_alarms=0.1, horizon_s=0.5)
    score, entropy = found.rows

    assert found.episodes == (32, 24, 24)
    assert (score.name, entropy.name) == ("calibrated", "entropy")
    assert score.ranking.auroc > 0.95
    assert 0.5 < entropy.ranking.auroc < 0.75
    assert found.gain is not None and found.gain.low > 0.1
    assert score.alarms.troubles == score.alarms.good_episodes == 12
    assert score.alarms.caught >= 10 > entropy.alarms.caught
    assert max(found.score.weights, key=lambda name: found.score.weights[name].weight) == "dwell_s"
    assert found.score.threshold == score.threshold


def test_the_same_episodes_in_any_order_give_the_same():
    given = episodes()
    assert calibrate(given, 0.1, 0.5) == calibrate(given[::-1], 0.1, 0.5)


def test_the_measures_are_plain_data():
    measures = calibrate(episodes(), 0.1, 0.5).measures
    assert json.loads(json.dumps(measures, allow_nan=False)) == measures
    assert set(measures) == {"episodes", "calibrated", "entropy", "gain"}


def test_a_policy_without_entropy_has_a_score_alone():
    found = calibrate(episodes(has_entropy=False), 0.1, 0.5)
    assert [row.name for row in found.rows] == ["calibrated"]
    assert found.gain is None
    assert "entropy" not in found.score.weights


def test_no_episode_is_in_two_parts():
    given = episodes(10, 5)
    parts = split(given, seed=0)

    assert [len(part) for part in parts] == [6, 5, 4]
    assert sorted(each.episode_id for part in parts for each in part) == [each.episode_id for each in given]
    assert [sum(each.is_unaided_success for each in part) for part in parts] == [4, 3, 3]
    assert split(given, seed=1) != parts


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        (20, 20, "6 unaided successes to calibrate on, at least 9 are needed for false alarms = 0.1"),
        (40, 0, "0 of 160 chunks are near trouble"),
        (1, 0, "none is left to fit the score"),
    ],
)
def test_too_few_episodes_are_an_error(good, bad, fault):
    with pytest.raises(EpisodeToolError, match=f"{good + bad} episodes do not suffice: {fault}"):
        calibrate(episodes(good, bad), 0.1, 0.5)


def test_too_few_unaided_successes_are_found_before_any_work():
    check_enough(29, 0.1)
    check_enough(12, 0.2)
    with pytest.raises(EpisodeToolError, match=r"28 unaided successes leave 8 for the threshold, .* record 29"):
        check_enough(28, 0.1)
