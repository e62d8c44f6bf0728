"""Which episodes of a data set: by outcome, operator, adapter, date and more; and random shares."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from apo_core.errors import EpisodeToolError
from apo_episodes.episode import Episode
from apo_episodes.inspection.table import lost_counts

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Selection:
    """Conditions on an episode; an empty one allows everything."""

    outcomes: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    operators: frozenset[str] = frozenset()
    adapters: frozenset[int] = frozenset()  # one of them acted or was a shadow in the episode
    since: datetime | None = None  # creation, included
    until: datetime | None = None  # creation, excluded
    min_steps: int = 0
    max_steps: int | None = None
    intervened: bool | None = None  # with a takeover, or without one
    lossless: bool = False  # nothing lost while it was recorded
    tags: Mapping[str, str] = field(default_factory=dict)  # the episode has these

    def accepts(self, episode: Episode) -> bool:
        """Whether an episode meets all conditions.

        Raises:
            EpisodeToolError: a date is asked for and the file's is not readable.
        """
        info = episode.info
        return (
            (not self.outcomes or str(episode.outcome.outcome) in self.outcomes)
            and (not self.kinds or str(info.kind) in self.kinds)
            and (not self.tasks or info.task in self.tasks)
            and (not self.operators or info.operator in self.operators)
            and (not self.adapters or bool(self.adapters & set(episode.adapter_versions.tolist())))
            and self.min_steps <= episode.num_steps <= (math.inf if self.max_steps is None else self.max_steps)
            and (self.intervened is None or bool(episode.takeovers) == self.intervened)
            and not (self.lossless and lost_counts(episode.losses))
            and all(info.tags.get(name) == value for name, value in self.tags.items())
            and self._in_time(episode)
        )

    def _in_time(self, episode: Episode) -> bool:
        if self.since is None and self.until is None:
            return True
        try:
            created = _aware(datetime.fromisoformat(episode.info.created_utc))
        except ValueError:
            raise EpisodeToolError(
                f"{episode.path}: created_utc = {episode.info.created_utc!r} is not an ISO 8601 date"
            ) from None
        return (self.since is None or created >= self.since) and (self.until is None or created < self.until)


def moment(text: str, end: bool = False) -> datetime:
    """An ISO 8601 date or time, UTC unless it names an offset. With `end`, a bare date stands for the end of its day.

    Raises:
        ValueError: not a date.
    """
    value = _aware(datetime.fromisoformat(text))
    return value + timedelta(days=1) if end and _DATE.fullmatch(text) else value


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def draw_parts(count: int, shares: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    """Assigns `count` episodes to parts at random; each part gets its rounded share, the first ones the rest.

    Args:
        count: number of episodes.
        shares: {part: share above 0}, at most 1 in sum.
        seed: the same one gives the same parts.

    Returns:
        {part: indices, ascending}, disjoint.

    Raises:
        EpisodeToolError: shares that are not above 0, or sum to more than 1.
    """
    wrong = [f"{name}={share}" for name, share in shares.items() if not share > 0]
    if wrong or sum(shares.values()) > 1 + 1e-9:
        raise EpisodeToolError(
            f"shares must be above 0 and at most 1 in sum, not {', '.join(wrong) or dict(shares)} (--part NAME=SHARE)"
        )
    total = round(count * sum(shares.values()))
    exact = {name: count * share for name, share in shares.items()}
    sizes = {name: math.floor(value + 1e-9) for name, value in exact.items()}
    by_remainder: Sequence[str] = sorted(exact, key=lambda name: sizes[name] - exact[name])
    for name in by_remainder[: total - sum(sizes.values())]:
        sizes[name] += 1
    order = np.random.default_rng(seed).permutation(count).tolist()
    parts, start = {}, 0
    for name, size in sizes.items():
        parts[name] = sorted(order[start : start + size])
        start += size
    return parts
