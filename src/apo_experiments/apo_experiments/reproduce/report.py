"""The report of a reproduction: report.md, report.html, report.json, and a figure for each table with bars."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from apo_core.config.parameters import parameter_values
from apo_core.system.source_commit import source_commit
from apo_experiments.reproduce import paper
from apo_experiments.reproduce.config import ReproduceConfig
from apo_experiments.reproduce.tables import Table, tables

_VERSIONS = ("torch", "transformers", "peft", "numpy", "robosuite", "mujoco")
_STYLE = "body{font-family:sans-serif;margin:2em;max-width:70em}td,th{padding:.2em .8em;text-align:left}"


class Report:
    """The report's files.

    Args:
        config: of the reproduction.
        output: its folder.
        command: as typed.
    """

    def __init__(self, config: ReproduceConfig, output: Path, command: str):
        self._config, self._output, self._command = config, output, command
        self._drawn: dict[str, Table] = {}  # title -> table of the figure that is there

    def write(self) -> list[Table]:
        """Writes what there is so far; returns its tables. Figures of unchanged tables stay."""
        made, output = tables(self._config, self._output), self._output
        facts = {"command": self._command, "versions": versions(), "settings": parameter_values(self._config)}
        report: dict[str, Any] = {**facts, "paper": paper.SOURCE, "tables": [table.as_dict() for table in made]}
        (output / "report.json").write_text(json.dumps(report, indent=1) + "\n")
        figures = {table.title: _figure_path(table, output) for table in made if table.bars}
        for table in made:
            if table.bars and self._drawn.get(table.title) != table:
                _draw(table, figures[table.title])
                self._drawn[table.title] = table
        packages = ", ".join(f"{name} {number}" for name, number in versions().items())
        intro = f"`{self._command}`; {packages}. Paper: {paper.SOURCE}."
        (output / "report.md").write_text("\n".join(["# Reproduction", "", intro, "", *(t.markdown() for t in made)]))
        (output / "report.html").write_text(_html(intro, made, figures))
        return made


def versions() -> dict[str, str]:
    """Of what the figures depend on; `apo` is the commit, where there is one."""
    found = {"apo": commit} if (commit := source_commit(__file__)) else {}
    for name in _VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _figure_path(table: Table, output: Path) -> Path:
    return output / f"{re.sub('[^a-z0-9]+', '_', table.title.lower()).strip('_')[:60]}.png"


def _draw(table: Table, path: Path) -> None:
    """Success with its interval, and the paper's as a mark."""
    names = [bar[0] for bar in table.bars]
    figure, axes = plt.subplots(figsize=(1.1 * len(names) + 1.5, 3.2))
    for index, (_, rate, low, high, published) in enumerate(table.bars):
        axes.bar(index, rate, yerr=[[rate - low], [high - rate]], color="#4477aa", capsize=3)
        if published is not None:
            axes.plot(index, published, marker="D", color="#cc6677", linestyle="", label="paper")
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_ylim(0, 100)
    axes.set_ylabel("success, %")
    axes.set_title(table.title, fontsize=9)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def _html(intro: str, made: Sequence[Table], figures: dict[str, Path]) -> str:
    parts = [f"<!doctype html><meta charset=utf-8><title>Reproduction</title><style>{_STYLE}</style>"]
    parts.append(f"<h1>Reproduction</h1><p>{intro}</p>")
    for table in made:
        parts.append(table.html())
        if table.title in figures:
            data = base64.b64encode(figures[table.title].read_bytes()).decode()
            parts.append(f'<img alt="{table.title}" src="data:image/png;base64,{data}">')
    return "\n".join(parts) + "\n"
