"""What came of each method, as a table, a figure and JSON. Pure but for the figure's file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from apo_experiments.compare.config import BASE
from apo_experiments.compare.result import MethodResult, PairedTest, paired

_MEASURED = ("method", "success", "95 % interval", "n", "each training", "gained / lost", "evidence")
_LARGEST_E = 1000.0  # that is written out
_TRAINED = ("held-out desirable", "undesirable", "L1", "gate", "training")


def rows(results: Sequence[MethodResult], against: str = "") -> list[dict[str, Any]]:
    """The rows as JSON-serialisable values; `against` has what the column of that name has, None where it is empty."""
    tests = [_paired(result, _named(results, against)) for result in results]
    return [
        {**result.as_dict(), "against": test and {"method": against, **test.as_dict()}}
        for result, test in zip(results, tests, strict=True)
    ]


def markdown(results: Sequence[MethodResult], against: str = "") -> str:
    """The table, columns aligned, so that it reads in a terminal as well; notes below.

    Args:
        results: the rows.
        against: row that the others are paired with in a column of its own; empty: no such column.
    """
    base, rival = _named(results, BASE), _named(results, against)
    lines = [(*_MEASURED, *([f"against {against}"] if against else []), *_TRAINED)]
    for result in results:
        change, test = _paired(result, base), _paired(result, rival)
        column = [_differing(test) + (f", p {_p_value(test.p)}" if test else "")] if against else []
        lines.append((*_measured(result), _differing(change), _evidence(change), *column, *_trained(result)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    text = [f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines]
    episodes = max((training.n for training in base.trainings), default=0) if base else 0
    remarks = [remark for result in results for remark in _remarks(result, episodes)]
    return "\n".join([*text, *(f"\n{remark}" for remark in remarks)]) + "\n"


def _named(results: Sequence[MethodResult], method: str) -> MethodResult | None:
    return next((result for result in results if result.method == method), None)


def _paired(result: MethodResult, other: MethodResult | None) -> PairedTest | None:
    """None where the other row is missing, is this one, or has no seed in common."""
    test = None if other is None or result is other else paired(result, other)
    return test if test and test.pairs else None


def _differing(test: PairedTest | None) -> str:
    return "" if test is None else f"+{test.gained} / -{test.lost}"


def _evidence(test: PairedTest | None) -> str:
    """`better, e 74`: what may be concluded at any time of looking, and how strongly."""
    if test is None:
        return ""
    found = test.evidence
    log_e = max(found.better, found.worse)
    if log_e >= math.log(_LARGEST_E):
        return f"{found.finding()}, e >= {_LARGEST_E:.0f}"
    e = math.exp(log_e)
    return f"{found.finding()}, e {e:.{1 if e < 10 else 0}f}"


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _measured(result: MethodResult) -> tuple[str, ...]:
    low, high = result.interval
    rate = "failed" if result.rate is None else f"{result.rate:.0%}"
    interval = f"{low:.0%} .. {high:.0%}" if result.n else ""
    return result.method, rate, interval, str(result.n), _each(result)


def _each(result: MethodResult) -> str:
    """`87 90 83 %`; empty for the base policy."""
    rates = [
        "failed" if training.rate is None else f"{100.0 * training.rate:.0f}"
        for training in result.trainings
        if training.seed is not None
    ]
    return f"{' '.join(rates)} %" if result.n and rates else ""


def _trained(result: MethodResult) -> tuple[str, ...]:
    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    judged = [training.objections for training in result.trainings if training.objections is not None]
    accepted = sum(not objections for objections in judged)
    gate = f"{accepted} of {len(judged)} accepted" if judged else ""
    if judged and accepted in (0, len(judged)):
        gate = "accepted" if accepted else "rejected"
    done = "" if result.train_seconds is None else f"{result.steps:.0f} steps, {result.train_seconds:.0f} s"
    return (
        number(result.desirable, "+.2f"),
        number(result.undesirable, "+.2f"),
        number(result.l1, ".3f"),
        gate,
        done,
    )


def _remarks(result: MethodResult, episodes: int) -> Iterable[str]:
    """Failures, objections and notes, a line each; `episodes` is how many the base policy has."""
    for training in result.trainings:
        label = result.label(training)
        yield from [f"{label}: {training.failure}"] if training.failure else []
        if 0 < training.n < episodes:
            yield f"{label}: decided after {training.n} episodes; its rate and interval are of a run that ended then"
        yield from (f"{label}: the gate would reject it: {text}" for text in training.objections or ())
        yield from (f"{label}: {text}" for text in training.notes)


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
