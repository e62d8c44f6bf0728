"""What an operator's time bought: seconds of attention and of driving by round, and the success that came of them.

A round is what one adapter acted in. `attention` defines attention and driving.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import Any

from apo_core.system.text_columns import align_columns
from apo_core.types import EpisodeKind, Outcome
from apo_core.wilson import wilson_interval
from apo_episodes.inspection.attention import Watched
from apo_episodes.inspection.table import EpisodeRow

_COLUMNS = (
    *("adapter", "episodes", "unaided", "95 % interval", "takeovers"),
    *("watched [min]", "driven [min]", "points / min watched", "points / min driven"),
)
_SUMS = ("episodes", "labeled", "unaided", "takeovers", "watched_s", "driven_s")


@dataclass(frozen=True, slots=True)
class Round:
    """The episodes of one adapter."""

    adapter: int | None  # 0 is the base policy; None: demonstrations
    episodes: int
    labeled: int  # with a success or a failure
    unaided: int  # successes without a takeover
    takeovers: int
    watched_s: float
    driven_s: float

    @classmethod
    def of(cls, row: EpisodeRow | Watched) -> Round:
        """What a single episode is to its round: that of the newest adapter which acted in it."""
        is_demonstration = row.kind == EpisodeKind.DEMONSTRATION or not row.adapter_versions
        return cls(
            adapter=None if is_demonstration else max(row.adapter_versions),
            episodes=1,
            labeled=int(row.outcome in (Outcome.SUCCESS, Outcome.FAILURE)),
            unaided=int(row.outcome == Outcome.SUCCESS and not row.takeovers),
            takeovers=row.takeovers,
            watched_s=row.seconds,
            driven_s=row.seconds * (1.0 if is_demonstration else row.intervention_share),
        )

    def plus(self, other: Round, sign: int = 1) -> Round:
        """This and the episodes of another; `sign` -1 takes them away."""
        return replace(self, **{name: getattr(self, name) + sign * getattr(other, name) for name in _SUMS})

    @property
    def rate(self) -> float | None:
        """Share of unaided successes; None for demonstrations and without labeled episodes."""
        return None if self.adapter is None or not self.labeled else self.unaided / self.labeled

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of the rate; None where there is none."""
        return None if self.rate is None else wilson_interval(self.unaided, self.labeled)


@dataclass(frozen=True, slots=True)
class Gain:
    """Points of unaided success (percent) that a round has beyond the one before, for each minute of that one."""

    points: float
    per_watched_minute: float | None  # None: nobody watched
    per_driven_minute: float | None  # None: nobody drove

    @classmethod
    def of(cls, points: float, cost: Round) -> Gain:
        """Points beyond the round that they were learned from."""
        return cls(points, _per_minute(points, cost.watched_s), _per_minute(points, cost.driven_s))


def rounds(rows: Iterable[EpisodeRow | Watched]) -> list[Round]:
    """Rounds of episodes, in their order (`in_order`)."""
    groups: dict[int | None, list[Round]] = {}
    for each in map(Round.of, rows):
        groups.setdefault(each.adapter, []).append(each)
    return in_order(reduce(Round.plus, group) for group in groups.values())


def in_order(found: Iterable[Round]) -> list[Round]:
    """Demonstrations first, then by adapter."""
    return sorted(found, key=lambda each: -1 if each.adapter is None else each.adapter)


def gains(found: Sequence[Round]) -> list[Gain | None]:
    """What each round has beyond the round with a rate before it; None for the first, and where there is no rate."""
    made: list[Gain | None] = []
    before: Round | None = None
    for each in found:
        if each.rate is None or before is None or before.rate is None:
            made.append(None)
        else:
            made.append(Gain.of(100.0 * (each.rate - before.rate), before))
        before = before if each.rate is None else each
    return made


def as_json(found: Sequence[Round]) -> list[dict[str, Any]]:
    """JSON-serialisable."""
    return [
        {**asdict(each), "rate": each.rate, "ci95": each.interval, "gain": None if gain is None else asdict(gain)}
        for each, gain in zip(found, gains(found), strict=True)
    ]


def from_json(data: Iterable[Mapping[str, Any]]) -> list[Round]:
    """The reverse of `as_json`; other names are ignored."""
    return [Round(**{name: each[name] for name in Round.__slots__}) for each in data]


def format_ledger(found: Sequence[Round]) -> str:
    """The rounds as aligned text, with a line of totals."""
    cells = [_cells(each, gain) for each, gain in zip(found, gains(found), strict=True)]
    watched, driven = (sum(getattr(each, name) for each in found) / 60 for name in ("watched_s", "driven_s"))
    episodes = sum(each.episodes for each in found)
    total = f"{episodes} episodes, {watched:.1f} min watched, {driven:.1f} min driven"
    return "\n".join([*align_columns([_COLUMNS, *cells], left=1), total])


def _per_minute(points: float, seconds: float) -> float | None:
    return 60.0 * points / seconds if seconds else None


def _cells(each: Round, gain: Gain | None) -> tuple[str, ...]:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:+.1f}"

    name = "demonstrations" if each.adapter is None else "base policy" if each.adapter == 0 else str(each.adapter)
    interval = "" if each.interval is None else f"{each.interval[0]:.0%} .. {each.interval[1]:.0%}"
    return (
        name,
        str(each.episodes),
        "" if each.rate is None else f"{each.rate:.0%}",
        interval,
        str(each.takeovers),
        f"{each.watched_s / 60:.1f}",
        f"{each.driven_s / 60:.1f}",
        number(None if gain is None else gain.per_watched_minute),
        number(None if gain is None else gain.per_driven_minute),
    )
