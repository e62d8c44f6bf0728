"""Tables of a reproduction: from result files to rows of text, beside the paper's numbers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from apo_core.contract.contract import load_contract
from apo_core.system.shipped_files import shipped
from apo_core.tasks.specs import task_spec
from apo_core.types import Outcome
from apo_core.wilson import wilson_interval
from apo_episodes.inspection.attention import Watched
from apo_episodes.inspection.ledger import Gain, Round, gains, rounds
from apo_experiments.compare.config import BASE
from apo_experiments.compare.result import MethodResult, TrainingResult, paired
from apo_experiments.reproduce import paper
from apo_experiments.reproduce.config import ReproduceConfig
from apo_experiments.reproduce.parts import (
    ABLATIONS,
    Ablations,
    Lifelong,
    Perturbed,
    Table1,
    ablated_updates,
    perturbation_of,
    read_round,
    usual_updates,
)
from apo_experiments.reproduce.parts import Round as LifelongRound


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    bars: tuple[tuple[str, float, float, float, float | None], ...] = field(default=())  # name, %, low, high, paper's

    def markdown(self) -> str:
        """With aligned columns."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        lines.insert(1, tuple("-" * width for width in widths))
        text = "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)
        return "\n\n".join([f"## {self.title}", text, *self.notes]) + "\n"

    def html(self) -> str:
        """A heading, the table, its notes."""
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows)
        head = "".join(f"<th>{escape(cell)}</th>" for cell in self.head)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<h2>{escape(self.title)}</h2><table><tr>{head}</tr>{rows}</table>{notes}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {"title": self.title, "head": self.head, "rows": self.rows, "notes": self.notes}


def tables(config: ReproduceConfig, output: Path) -> list[Table]:
    """Those whose results are there, in the order of the parts."""
    found, period_s = [], load_contract(shipped(config.contract_file)).period_ns * 1e-9
    for task in config.tasks:
        folder = task_spec(task).folder
        found += _table_1(output / Table1.name / folder, task, period_s)
        found += _perturbed(output / Perturbed.name / folder, task, period_s)
        found += _ablations(output, folder, task)
        found += _lifelong(output / Lifelong.name / folder, task, config, period_s)
    return found


def _read(folder: Path) -> list[MethodResult]:
    """Results of a comparison; empty where there are none yet."""
    file = folder / "compare.json"
    if not file.is_file():
        return []
    rows = json.loads(file.read_text())["results"]
    return [
        MethodResult(row["method"], tuple(TrainingResult.from_dict(each) for each in row["trainings"])) for row in rows
    ]


def _rate(successes: int, n: int) -> str:
    low, high = wilson_interval(successes, n)
    return f"{successes / n:.0%} ({low:.0%} .. {high:.0%})" if n else ""


def _against(result: MethodResult, base: MethodResult) -> str:
    if result is base:
        return ""
    test = paired(result, base)
    return f"+{test.gained} / -{test.lost}, p {test.p:.2g}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:g} %"


_HEAD = ("method", "success (95 %)", "n", "each training", "against base", "paper")
_POINTS = ("points / min watched", "points / min driven")


def _rows(results: Sequence[MethodResult], published: Mapping[str, float]) -> tuple[tuple[str, ...], ...]:
    base = results[0]
    return tuple(
        (
            result.method,
            _rate(result.successes, result.n) or result.failure[:60],
            str(result.n),
            ", ".join(f"{training.rate:.0%}" for training in result.trainings if training.rate is not None),
            _against(result, base),
            _percent(published.get(result.method)),
        )
        for result in results
    )


def _with_points(
    results: Sequence[MethodResult], published: Mapping[str, float], cost: Round | None
) -> tuple[tuple[str, ...], ...]:
    """The rows, with what a minute of the operator bought."""
    base, found = results[0], []
    for result, row in zip(results, _rows(results, published), strict=True):
        gain = None
        if cost is not None and result is not base and None not in (result.rate, base.rate):
            gain = Gain.of(100.0 * ((result.rate or 0.0) - (base.rate or 0.0)), cost)
        found.append((*row, *_points(gain)))
    return tuple(found)


def _points(gain: Gain | None) -> tuple[str, str]:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:+.1f}"

    return ("", "") if gain is None else (number(gain.per_watched_minute), number(gain.per_driven_minute))


def _bars(results: Sequence[MethodResult], published: Mapping[str, float]) -> tuple:
    return tuple(
        (r.method, 100 * r.rate, 100 * r.interval[0], 100 * r.interval[1], published.get(r.method))
        for r in results
        if r.rate is not None
    )


def _interactions(folder: Path, period_s: float) -> Round | None:
    """What the interactions cost the operator; None where there are none yet."""
    file = folder / "interactions.json"
    if not file.is_file():
        return None
    return next(
        iter(
            rounds(
                Watched(
                    Outcome.SUCCESS if fact["success"] else Outcome.FAILURE,
                    fact["steps"] * period_s,
                    fact["takeovers"],
                    fact["human_steps"] / max(fact["steps"], 1),
                    (0,),
                )
                for fact in json.loads(file.read_text())
            )
        ),
        None,
    )


def _cost(cost: Round | None) -> tuple[str, ...]:
    if cost is None:
        return ()
    share = cost.driven_s / cost.watched_s if cost.watched_s else 0.0
    return (
        f"Cost: {cost.episodes} episodes with the operator, {cost.takeovers} takeovers, "
        f"{share:.0%} of the steps driven ({cost.driven_s:.0f} s of driving, {cost.watched_s:.0f} s of attention). "
        "Points are those of success beyond the base policy, for each minute of it.",
    )


def _table_1(folder: Path, task: str, period_s: float) -> list[Table]:
    results = _read(folder / "results")
    if not results:
        return []
    published = task_spec(task).published
    cost = _interactions(folder, period_s)
    rows = _with_points(results, published, cost)
    return [Table(f"Table 1, {task}", (*_HEAD, *_POINTS), rows, _cost(cost), _bars(results, published))]


def _perturbed(folder: Path, task: str, period_s: float) -> list[Table]:
    results = _read(folder / "results")
    if not results:
        return []
    setting = ", ".join(f"{name} {value}" for name, value in perturbation_of(task).changes.items())
    published, cost = task_spec(task).published_perturbed, _interactions(folder, period_s)
    found = [
        Table(
            f"Perturbed, {task}: {setting}",
            (*_HEAD, *_POINTS),
            _with_points(results, published, cost),
            _cost(cost),
            _bars(results, published),
        )
    ]
    file = folder / "original.json"
    if file.is_file():
        found.append(_original(json.loads(file.read_text()), task))
    return found


def _original(outcomes: dict[str, list[list[int]]], task: str) -> Table:
    grouped: dict[str, list[list[int]]] = {}
    for label, values in outcomes.items():
        grouped.setdefault(label.rpartition("_seed_")[0] or label, []).extend(values)
    rows = tuple(
        (
            method,
            _rate(sum(success for _, success in values), len(values)),
            str(len(values)),
            _percent(paper.ORIGINAL_MEANS.get(method)),
        )
        for method, values in grouped.items()
    )
    head = ("method", "success (95 %)", "n", "paper, mean of its tasks")
    return Table(f"The same policies in the usual setting, {task}", head, rows)


def _ablations(output: Path, folder: str, task: str) -> list[Table]:
    whole = _read(output / Table1.name / folder / "results")
    rows: list[tuple[str, ...]] = []
    for number, name in enumerate(ABLATIONS, start=1):
        results = _read(output / Ablations.name / folder / str(number))
        if len(results) > 1:
            rows.append((name, *_rows(results, {})[1][1:5]))
    if not rows:
        return []
    head = ("apo with", *_HEAD[1:5])
    known = [("nothing changed" if line[0] == "apo" else line[0], *line[1:5]) for line in _rows(whole, {})]
    kept = [line for line in known if line[0] in (BASE, "nothing changed", "kto")]
    note = "`kto` is `apo` without adaptive weights."
    return [Table(f"Ablations, {task}", head, (*map(tuple, kept), *rows), (note,))]


def _lifelong(folder: Path, task: str, config: ReproduceConfig, period_s: float) -> list[Table]:
    rows: list[tuple[str, ...]] = []
    times: list[tuple[str, ...]] = []
    for update in dict.fromkeys((*usual_updates(config), *ablated_updates(config))):
        done = _rounds(folder / update.folder, config.rounds)
        name = update.row if update.method else "no update"
        for each in done:
            alone = _rate(sum(success for _, success in each.outcomes), len(each.outcomes))
            rows.append(
                (
                    name,
                    str(each.number),
                    f"{each.human_steps / max(each.steps, 1):.0%}",
                    str(each.takeovers),
                    f"{each.successes} of {each.episodes}",
                    alone or "",
                )
            )
        times += _times(name, [each for each in done if each.unaided is not None], period_s)
    if not rows:
        return []
    head = ("method", "round", "driven by the operator", "takeovers", "success with operator", "alone after it (95 %)")
    shares = ", ".join(f"{share} %" for share in paper.LIFELONG_SHARES)
    note = (
        f"The paper's share of the operator, by update: {shares}. Reference of an update: {config.lifelong_reference}."
    )
    found = [Table(f"Lifelong, {task}", head, tuple(rows), (note,))]
    if times:
        columns = ("method", "round", "unaided (95 %)", "watched", "driven", *_POINTS)
        note = "Points are those of unaided success beyond the round before, for each minute of that one."
        found.append(Table(f"Lifelong, {task}: the operator's time", columns, tuple(times), (note,)))
    return found


def _rounds(folder: Path, wanted: int) -> list[LifelongRound]:
    """Those from the first on that are there."""
    files = [folder / f"round_{number}.json" for number in range(1, wanted + 1)]
    return [read_round(file) for file in itertools.takewhile(Path.is_file, files)]


def _times(name: str, done: Sequence[LifelongRound], period_s: float) -> list[tuple[str, ...]]:
    """A row a round: what its episodes took of the operator, and what that of the round before bought."""
    costs = [
        Round(
            each.serving,
            each.episodes,
            each.episodes,
            each.unaided or 0,
            each.takeovers,
            each.steps * period_s,
            each.human_steps * period_s,
        )
        for each in done
    ]
    return [
        (
            name,
            str(each.number),
            _rate(cost.unaided, cost.labeled),
            f"{cost.watched_s:.0f} s",
            f"{cost.driven_s:.0f} s",
            *_points(gain),
        )
        for each, cost, gain in zip(done, costs, gains(costs), strict=True)
    ]
