"""Figures of a score on episodes: how well it ranks chunks, and what its alarms are worth. Pure, deterministic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apo_core.wilson import wilson_interval
from apo_trainer.help.drives import Drive, DrivenEpisode, End

RESAMPLES = 1000
_SEED = 0
_PERCENTILES = (2.5, 97.5)

Score = Callable[[np.ndarray], np.ndarray]  # features (n, F) -> (n,)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Area under the ROC curve: how often a chunk near trouble has a higher score than another one."""

    auroc: float
    low: float  # 95 % interval: episodes drawn with replacement
    high: float


@dataclass(frozen=True, slots=True)
class Alarms:
    """What the alarms of a threshold are worth."""

    per_minute: float  # alarms that begin, by the time that the policy drove
    false_episodes: int  # unaided successes with an alarm
    good_episodes: int  # unaided successes
    caught: int  # takeovers and failures with an alarm before, in the same drive
    troubles: int  # takeovers and failures
    lead_s: float | None  # median time from the first alarm of the drive to the takeover or failure; None: no alarm

    @property
    def text(self) -> list[str]:
        """Cells: per minute, false alarms, caught, lead."""
        false, good, caught, troubles = self.false_episodes, self.good_episodes, self.caught, self.troubles
        lead = "-" if self.lead_s is None else f"{self.lead_s:.2f} s"
        return [f"{self.per_minute:.1f}", _share(false, good), _share(caught, troubles), lead]


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve of scores (n,) for labels bool (n,); a tie counts half; NaN without both labels."""
    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # mean rank of equal scores
    return float((ranks[labels].sum() - positive * (positive + 1) / 2) / (positive * negative))


def rankings(
    scores: Sequence[Score], episodes: Sequence[DrivenEpisode], horizon_s: float
) -> tuple[list[Ranking], Ranking]:
    """The ranking of each score, and of the first one minus the last, on the same resampled episodes."""
    columns = [[_concatenated(score, episode) for episode in episodes] for score in scores]
    labels = [
        np.concatenate([drive.near_trouble(horizon_s) for drive in episode.drives] or [np.zeros(0, bool)])
        for episode in episodes
    ]

    def areas(chosen: Sequence[int]) -> list[float]:
        truth = np.concatenate([labels[i] for i in chosen])
        return [auroc(np.concatenate([column[i] for i in chosen]), truth) for column in columns]

    whole = areas(range(len(episodes)))
    rng = np.random.default_rng(_SEED)
    draws = np.array([areas(rng.integers(0, len(episodes), len(episodes)).tolist()) for _ in range(RESAMPLES)])
    draws = draws[np.isfinite(draws).all(axis=1)]
    made = [_ranking(area, draws[:, i]) for i, area in enumerate(whole)]
    return made, _ranking(whole[0] - whole[-1], draws[:, 0] - draws[:, -1])


def highest_score(score: Score, episode: DrivenEpisode) -> float:
    """Of all chunks of an episode."""
    return float(_concatenated(score, episode).max())


def alarms(score: Score, threshold: float, episodes: Sequence[DrivenEpisode]) -> Alarms:
    """What the alarms are worth on episodes."""
    begun, seconds, caught, troubles, leads = 0, 0.0, 0, 0, []
    for episode in episodes:
        for drive in episode.drives:
            above = score(drive.features) > threshold
            begun += int(np.sum(above & ~np.concatenate([[False], above[:-1]])))
            seconds += drive.driven_s
            if drive.ended_by is not End.SUCCESS:
                troubles += 1
                caught += bool(above.any())
                leads += _lead_s(drive, above)
    good = [episode for episode in episodes if episode.is_unaided_success]
    return Alarms(
        per_minute=60 * begun / seconds if seconds else 0.0,
        false_episodes=sum(highest_score(score, episode) > threshold for episode in good),
        good_episodes=len(good),
        caught=caught,
        troubles=troubles,
        lead_s=float(np.median(leads)) if leads else None,
    )


def as_json(ranking: Ranking, alarm: Alarms) -> dict[str, Any]:
    """Plain JSON data of both."""
    return {
        "auroc": [ranking.auroc, ranking.low, ranking.high],
        "alarms_per_minute": alarm.per_minute,
        "false_alarm_episodes": [alarm.false_episodes, alarm.good_episodes],
        "caught": [alarm.caught, alarm.troubles],
        "lead_s": alarm.lead_s,
    }


def _lead_s(drive: Drive, above: np.ndarray) -> list[float]:
    return [float(drive.end_ns - drive.stamps_ns[np.argmax(above)]) / 1e9] if above.any() else []


def _concatenated(score: Score, episode: DrivenEpisode) -> np.ndarray:
    parts = [score(drive.features) for drive in episode.drives]
    return np.concatenate(parts) if parts else np.zeros(0)


def _ranking(area: float, draws: np.ndarray) -> Ranking:
    if not len(draws):
        return Ranking(area, float("nan"), float("nan"))
    low, high = np.percentile(draws, _PERCENTILES)
    return Ranking(area, float(low), float(high))


def _share(count: int, n: int) -> str:
    if not n:
        return "-"
    low, high = wilson_interval(count, n)
    return f"{count} of {n} ({low:.0%} .. {high:.0%})"
