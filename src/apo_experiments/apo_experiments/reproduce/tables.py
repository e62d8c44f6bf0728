"""Tables of a reproduction: from result files to rows of text, beside the paper's numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from apo_core.tasks.specs import task_spec
from apo_core.wilson import wilson_interval
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
    other_reference,
    perturbation_of,
    read_round,
    usual_updates,
)


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
    found = []
    for task in config.tasks:
        folder = task_spec(task).folder
        found += _table_1(output / Table1.name / folder, task)
        found += _perturbed(output / Perturbed.name / folder, task)
        found += _ablations(output, folder, task)
        found += _lifelong(output / Lifelong.name / folder, task, config)
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


def _bars(results: Sequence[MethodResult], published: Mapping[str, float]) -> tuple:
    return tuple(
        (r.method, 100 * r.rate, 100 * r.interval[0], 100 * r.interval[1], published.get(r.method))
        for r in results
        if r.rate is not None
    )


def _cost(folder: Path) -> tuple[str, ...]:
    """What the interactions cost the operator."""
    file = folder / "interactions.json"
    if not file.is_file():
        return ()
    facts = json.loads(file.read_text())
    steps, human = sum(fact["steps"] for fact in facts), sum(fact["human_steps"] for fact in facts)
    takeovers = sum(fact["takeovers"] for fact in facts)
    share = human / max(steps, 1)
    return (
        f"Cost: {len(facts)} episodes with the operator, {takeovers} takeovers, {share:.0%} of the steps driven "
        f"({human / 20:.0f} s of driving, {steps / 20:.0f} s of attention).",
    )


def _table_1(folder: Path, task: str) -> list[Table]:
    results = _read(folder / "results")
    if not results:
        return []
    published = task_spec(task).published
    title = f"Table 1, {task}"
    return [Table(title, _HEAD, _rows(results, published), _cost(folder), _bars(results, published))]


def _perturbed(folder: Path, task: str) -> list[Table]:
    results = _read(folder / "results")
    if not results:
        return []
    setting = ", ".join(f"{name} {value}" for name, value in perturbation_of(task).changes.items())
    published = task_spec(task).published_perturbed
    found = [
        Table(
            f"Perturbed, {task}: {setting}",
            _HEAD,
            _rows(results, published),
            _cost(folder),
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


def _lifelong(folder: Path, task: str, config: ReproduceConfig) -> list[Table]:
    rows: list[tuple[str, ...]] = []
    ablation = "apo", f"apo, reference {other_reference(config.lifelong_reference)}"
    updates = dict.fromkeys((*(update.row for update in usual_updates(config)), *ablation))
    for row in updates:
        for number in range(1, config.rounds + 1):
            file = folder / row / f"round_{number}.json"
            if not file.is_file():
                break
            done = read_round(file)
            alone = _rate(sum(success for _, success in done.outcomes), len(done.outcomes))
            rows.append(
                (
                    "no update" if row == BASE else row,
                    str(number),
                    f"{done.human_steps / max(done.steps, 1):.0%}",
                    str(done.takeovers),
                    f"{done.successes} of {done.episodes}",
                    alone or "",
                )
            )
    if not rows:
        return []
    head = ("method", "round", "driven by the operator", "takeovers", "success with operator", "alone after it (95 %)")
    shares = ", ".join(f"{share} %" for share in paper.LIFELONG_SHARES)
    note = (
        f"The paper's share of the operator, by update: {shares}. Reference of an update: {config.lifelong_reference}."
    )
    return [Table(f"Lifelong, {task}", head, tuple(rows), (note,))]
