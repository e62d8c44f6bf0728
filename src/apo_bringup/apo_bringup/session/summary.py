"""`apo sessions`: the reports of several `apo demo` runs as one table: what the loop does on average."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from apo_core.errors import ApoError
from apo_core.system.text_columns import align_columns
from apo_core.wilson import wilson_interval


class ReportError(ApoError):
    """A folder has no report of a session."""


def read_report(folder: Path) -> dict[str, Any]:
    """report.json of a run folder. Raises ReportError."""
    file = folder / "report.json"
    try:
        report = json.loads(file.read_text())
        return {"rounds": report["rounds"], "evaluation": report["evaluation"], "stopped": report["stopped"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportError(f"{file}: no report of a session ({type(error).__name__}: {error})") from None


def table(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """A line a session: operator's share round by round, success of base and final policy; then the means.

    Trials of the same kind are pooled for the intervals, which is right while each session has seeds of its own.
    """
    rounds = max((len(report["rounds"]) for report in reports.values()), default=0)
    head = ["session", *(f"round {i}" for i in range(rounds)), "base", "final", ""]
    rows = [_row(name, report, rounds) for name, report in reports.items()]
    whole = [report for report in reports.values() if not report["stopped"]]
    if len(whole) > 1:
        common = min(len(report["rounds"]) for report in whole)
        means = [mean(report["rounds"][i]["intervention_share"] for report in whole) for i in range(common)]
        rows.append(["mean", *(f"{value:.1%}" for value in means), *[""] * (rounds - common + 3)])
    lines = ["driven by operator, and success of the policy alone"]
    lines += align_columns([head, *rows], left=1)
    if len(whole) < 2:
        return "\n".join(lines)
    for which in ("base", "final"):
        successes, n = (sum(report["evaluation"][which][key] for report in whole) for key in ("successes", "n"))
        if n:
            low, high = wilson_interval(successes, n)
            lines.append(f"{which}: {successes} of {n} = {successes / n:.1%}, 95 % interval {low:.1%} .. {high:.1%}")
    return "\n".join(lines)


def _row(name: str, report: Mapping[str, Any], rounds: int) -> list[str]:
    shares = [f"{row['intervention_share']:.0%}" for row in report["rounds"]]
    counts = [_count(report["evaluation"][which]) for which in ("base", "final")]
    return [name, *shares, *[""] * (rounds - len(shares)), *counts, "stopped early" if report["stopped"] else ""]


def _count(row: Mapping[str, Any]) -> str:
    return f"{row['successes']}/{row['n']}" if row["n"] else "-"


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns the exit status."""
    parser = argparse.ArgumentParser(prog="apo sessions", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="run folders of `apo demo`")
    options = parser.parse_args(argv)
    try:
        print(table({folder.name: read_report(folder) for folder in options.folders}))
    except ApoError as error:
        print(f"apo sessions: {error}", file=sys.stderr)
        return 2
    return 0
