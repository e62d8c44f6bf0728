"""Turns episodes into a score, its threshold, and figures on episodes that served neither. Pure, deterministic.

Episodes are split, unaided successes and others each by themselves: the first part fits the score, the unaided
successes of the second give the threshold, the third is held out.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apo_core.errors import EpisodeToolError
from apo_core.help.features import FEATURES
from apo_core.help.score import HelpScore
from apo_trainer.help.conformal import conformal_threshold, least_episodes
from apo_trainer.help.drives import DrivenEpisode
from apo_trainer.help.logistic import fit
from apo_trainer.help.measures import Alarms, Ranking, Score, alarms, as_json, highest_score, rankings

SHARES = (0.4, 0.3)  # of the episodes: fit, threshold; the rest is held out
BASELINE = "entropy"


@dataclass(frozen=True, slots=True)
class Figures:
    """One score on the episodes held out."""

    name: str
    threshold: float
    ranking: Ranking
    alarms: Alarms


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A score with its threshold, and what it measured."""

    score: HelpScore
    rows: tuple[Figures, ...]  # the score first, then entropy alone where the policy has one
    gain: Ranking | None  # AUROC of the score minus that of entropy alone
    episodes: tuple[int, int, int]  # fit, threshold, held out

    @property
    def measures(self) -> dict[str, Any]:
        """Plain JSON data for the document; figures that are not numbers are left out."""
        rows = {row.name: as_json(row.ranking, row.alarms) for row in self.rows}
        gain = {} if self.gain is None else {"gain": [self.gain.auroc, self.gain.low, self.gain.high]}
        found: dict[str, Any] = _finite({"episodes": list(self.episodes), **rows, **gain})
        return found


def calibrate(episodes: Sequence[DrivenEpisode], false_alarms: float, horizon_s: float, seed: int = 0) -> Calibrated:
    """Learns the score from `episodes`.

    Args:
        episodes: each with at least one chunk.
        false_alarms: share of unaided successes that may have an alarm.
        horizon_s: before a takeover or failure in which a chunk is near it.
        seed: of the split.

    Raises:
        EpisodeToolError: the episodes do not suffice.
    """
    fitted, calibrating, held_out = split(episodes, seed)
    try:
        score = fit(*_examples(fitted, horizon_s))
        names, scores = ["calibrated"], list[Score]([score.score])
        if BASELINE in score.weights:
            names.append(BASELINE)
            scores.append(_entropy)
        good = [episode for episode in calibrating if episode.is_unaided_success]
        thresholds = [
            conformal_threshold([highest_score(each, episode) for episode in good], false_alarms) for each in scores
        ]
    except ValueError as error:
        raise EpisodeToolError(f"{len(episodes)} episodes do not suffice: {error}") from None
    if not held_out:
        raise EpisodeToolError(f"{len(episodes)} episodes do not suffice: none is left to be held out")
    ranked, gain = rankings(scores, held_out, horizon_s)
    rows = tuple(
        Figures(name, threshold, ranking, alarms(each, threshold, held_out))
        for name, threshold, ranking, each in zip(names, thresholds, ranked, scores, strict=True)
    )
    return Calibrated(
        dataclasses.replace(score, threshold=thresholds[0]),
        rows,
        gain if len(scores) > 1 else None,
        (len(fitted), len(calibrating), len(held_out)),
    )


def check_enough(unaided: int, false_alarms: float) -> None:
    """Raises EpisodeToolError: so many unaided successes leave too few for the threshold."""
    calibrating, least = _counts(unaided)[1], least_episodes(false_alarms)
    if calibrating < least:
        wanted = next(n for n in itertools.count(unaided) if _counts(n)[1] >= least)
        raise EpisodeToolError(
            f"{unaided} unaided successes leave {calibrating} for the threshold, false alarms = {false_alarms} need "
            f"{least}: record {wanted} unaided successes, or allow more false alarms"
        )


def _counts(n: int) -> tuple[int, int]:
    """Of n episodes of a kind, those that fit the score and those for the threshold."""
    return round(SHARES[0] * n), round(SHARES[1] * n)


def split(
    episodes: Sequence[DrivenEpisode], seed: int
) -> tuple[list[DrivenEpisode], list[DrivenEpisode], list[DrivenEpisode]]:
    """Episodes to fit, for the threshold, and held out; the same for the same episodes in any order."""
    parts: tuple[list[DrivenEpisode], list[DrivenEpisode], list[DrivenEpisode]] = ([], [], [])
    rng = np.random.default_rng(seed)
    for good in (True, False):
        kind = sorted((each for each in episodes if each.is_unaided_success is good), key=lambda each: each.episode_id)
        shuffled = [kind[i] for i in rng.permutation(len(kind))]
        first, count = _counts(len(kind))
        second = first + count
        for part, chosen in zip(parts, (shuffled[:first], shuffled[first:second], shuffled[second:]), strict=True):
            part.extend(chosen)
    return parts


def _examples(episodes: Sequence[DrivenEpisode], horizon_s: float) -> tuple[np.ndarray, np.ndarray]:
    drives = [drive for episode in episodes for drive in episode.drives]
    if not drives:
        raise ValueError("none is left to fit the score")
    features = np.concatenate([drive.features for drive in drives])
    return features, np.concatenate([drive.near_trouble(horizon_s) for drive in drives])


def _entropy(features: np.ndarray) -> np.ndarray:
    column: np.ndarray = features[..., FEATURES.index(BASELINE)]
    return column


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
