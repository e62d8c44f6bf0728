"""What came of each method, as a table, a figure and JSON. Pure but for the figure's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from apo_core.proportion import wilson_interval

BASE = "base"
_HEADER = (
    "method",
    "success",
    "95 % interval",
    "n",
    "gained / lost",
    "held-out desirable",
    "undesirable",
    "L1",
    "gate",
    "training",
)


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One row; the base policy has no training."""

    method: str
    outcomes: tuple[tuple[int, bool], ...]  # (seed, success) of every evaluation episode
    desirable: float | None = None  # held-out log-ratio of expert and human steps, nats
    undesirable: float | None = None  # held-out log-ratio of undesirable steps, nats
    l1: float | None = None  # held-out error, normalised action units
    objections: tuple[str, ...] | None = None  # of the gate; None: not judged
    train_seconds: float | None = None
    steps: int = 0  # optimizer steps done
    notes: tuple[str, ...] = ()  # what the data lacked
    failure: str = ""  # why there is no policy to measure

    @property
    def n(self) -> int:
        return len(self.outcomes)

    @property
    def successes(self) -> int:
        return sum(success for _, success in self.outcomes)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson score interval of the success rate."""
        return wilson_interval(self.successes, self.n)

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        rate = self.successes / self.n if self.n else None
        return {**asdict(self), "n": self.n, "successes": self.successes, "rate": rate, "ci95": list(self.interval)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> MethodResult:
        """The reverse of `as_dict`."""
        values = {name: data[name] for name in cls.__slots__}
        values["outcomes"] = tuple((int(seed), bool(success)) for seed, success in values["outcomes"])
        values["objections"] = None if values["objections"] is None else tuple(values["objections"])
        return cls(**{**values, "notes": tuple(values["notes"])})


def gained_and_lost(result: MethodResult, base: MethodResult) -> tuple[int, int]:
    """Seeds on which a method succeeded and the base did not, and the reverse; a seed of only one does not count."""
    before = dict(base.outcomes)
    pairs = [(before[seed], after) for seed, after in result.outcomes if seed in before]
    return sum(after > earlier for earlier, after in pairs), sum(earlier > after for earlier, after in pairs)


def markdown(results: Sequence[MethodResult]) -> str:
    """The table, columns aligned, so that it reads in a terminal as well; notes below."""
    base = next((result for result in results if result.method == BASE), None)
    rows = [_HEADER, *(_row(result, base) for result in results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADER))]
    rows.insert(1, tuple("-" * width for width in widths))
    lines = [f"| {' | '.join(map(str.ljust, row, widths))} |" for row in rows]
    for result in results:
        lines += ["", f"{result.method}: {result.failure}"] if result.failure else []
        lines += [f"\n{result.method}: the gate would refuse it: {text}" for text in result.objections or ()]
        lines += [f"\n{result.method}: {text}" for text in result.notes]
    return "\n".join(lines) + "\n"


def _row(result: MethodResult, base: MethodResult | None) -> tuple[str, ...]:
    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    if result.n:
        low, high = result.interval
        measured = (f"{result.successes / result.n:.0%}", f"{low:.0%} .. {high:.0%}", str(result.n))
    else:
        measured = ("failed", "", "0")
    change = "" if base is None or result is base else "+{} / -{}".format(*gained_and_lost(result, base))
    gate = "" if result.objections is None else "refused" if result.objections else "accepted"
    return (
        result.method,
        *measured,
        change,
        number(result.desirable, "+.2f"),
        number(result.undesirable, "+.2f"),
        number(result.l1, ".3f"),
        gate,
        "" if result.train_seconds is None else f"{result.steps} steps, {result.train_seconds:.0f} s",
    )


def write_figure(results: Sequence[MethodResult], path: Path, title: str) -> None:
    """Success rates with their 95 % intervals as a PNG."""
    shown = [result for result in results if result.n][::-1]
    rates = [100.0 * result.successes / result.n for result in shown]
    spans = [tuple(100.0 * bound for bound in result.interval) for result in shown]
    errors = [
        [rate - low for rate, (low, _) in zip(rates, spans, strict=True)],
        [high - rate for rate, (_, high) in zip(rates, spans, strict=True)],
    ]
    figure, axes = plt.subplots(figsize=(7.0, 1.2 + 0.4 * len(shown)), layout="constrained")
    try:
        colours = ["0.6" if result.method == BASE else "tab:blue" for result in shown]
        axes.barh([result.method for result in shown], rates, xerr=errors, color=colours, capsize=3)
        axes.set_xlim(0, 100)
        axes.set_xlabel("success [%], 95 % Wilson interval")
        axes.set_title(title)
        figure.savefig(path, dpi=120)
    finally:
        plt.close(figure)
