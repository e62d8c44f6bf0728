"""A picture of a training run: curves of loss, KL estimate, log-ratios, weights and errors. No torch."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from apo_core.system.atomic_files import replacing
from apo_trainer.data.samples import SampleClass

_COLOURS = {
    SampleClass.EXPERT: "tab:blue",
    SampleClass.POLICY: "tab:green",
    SampleClass.HUMAN: "tab:orange",
    SampleClass.UNDESIRABLE: "tab:red",
}
_SMOOTHED = 8  # steps that the thick line averages over


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; a last line that was cut off is left out. Raises OSError."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def write_report(
    path: Path, metrics: Sequence[Mapping[str, Any]], title: str, verdict: Mapping[str, Any] | None
) -> None:
    """Draws a PNG of 1600 x 1000 pixels.

    Args:
        path: of the picture.
        metrics: one mapping an optimizer step, as in metrics.jsonl.
        title: of the picture.
        verdict: of the gate; its values are shown as text.

    Raises:
        OSError: it cannot be written.
    """
    figure = Figure(figsize=(16, 10), dpi=100)
    figure.suptitle(title)
    # a layout that matplotlib finds by itself takes two more drawings
    axes = figure.subplots(
        2, 3, gridspec_kw={"left": 0.05, "right": 0.99, "bottom": 0.06, "top": 0.92, "wspace": 0.2, "hspace": 0.25}
    )
    steps = np.array([row["step"] for row in metrics])
    _curve(axes[0, 0], steps, [row["loss"] for row in metrics], "tab:purple", "")
    axes[0, 0].set_title("loss")
    _curve(axes[0, 1], steps, [row["z0"] for row in metrics], "tab:gray", "")
    axes[0, 1].set(title="KL estimate z0", ylabel="nats")
    for place, name, text, unit in (
        (axes[0, 2], "log_ratio", "log-ratio policy / reference", "nats"),
        (axes[1, 0], "weight", "weight lambda", ""),
        (axes[1, 1], "l1", "L1 error of the likeliest bins", "normalised action units"),
    ):
        for part in SampleClass:
            values = [row[name].get(part) for row in metrics]
            if any(value is not None for value in values):
                _curve(place, steps, [np.nan if v is None else v for v in values], _COLOURS[part], part.lower())
        place.set(title=text, ylabel=unit)
        if place.lines:
            place.legend(loc="best", fontsize="small")
    for place in axes.flat[:5]:
        place.set_xlabel("step")
        place.grid(alpha=0.3)
    axes[1, 2].axis("off")
    axes[1, 2].text(0.0, 1.0, _verdict_text(verdict), va="top", family="monospace", fontsize=9, wrap=True)
    with replacing(path) as file:
        figure.savefig(file, format="png")


def _curve(axes: Axes, steps: np.ndarray, values: Sequence[float], colour: str, label: str) -> None:
    """A thin line of what was measured, a thick one of its exponential mean over the steps that have a value."""
    numbers = np.asarray(values, dtype=float)
    axes.plot(steps, numbers, color=colour, alpha=0.3, linewidth=1)
    known = np.flatnonzero(np.isfinite(numbers))
    if known.size:
        means = itertools.accumulate(numbers[known], lambda mean, value: mean + (value - mean) / _SMOOTHED)
        axes.plot(steps[known], list(means), color=colour, linewidth=2, label=label)


def _verdict_text(verdict: Mapping[str, Any] | None) -> str:
    if verdict is None:
        return "not judged"
    lines = ["accepted" if verdict["accepted"] else "rejected"]
    lines += [
        f"{name.removeprefix('held_out_'):<28} {'-' if value is None else format(value, '.4g')}"
        for name, value in verdict["values"].items()
    ]
    for kind in ("reasons", "notes"):
        lines += [f"{kind[:-1]}: {text}" for text in verdict[kind]]
    return "\n".join(lines)
