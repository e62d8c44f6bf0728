"""report.html: one file with the tables, the plots and the pictures of a session."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from apo_bringup.session.report import format_table
from apo_core.types import Outcome
from apo_core.wilson import wilson_interval

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; color: #222; }
pre { background: #f6f6f6; padding: 1em; overflow-x: auto; }
img, video { max-width: 100%; }
figure { margin: 1.5em 0; } figcaption { color: #555; }
table { border-collapse: collapse; } tr:nth-child(even) { background: #f6f6f6; }
td, th { padding: .15em .8em; text-align: right; }
"""
_OUTCOMES = {Outcome.SUCCESS: "success", Outcome.FAILURE: "failure", Outcome.UNLABELED: "interrupted"}
_BLUE, _ORANGE = "#2e7dc8", "#e87722"


def _png(figure: plt.Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()


def plot_rounds(report: dict) -> plt.Figure:
    """Success with its 95 % interval, and the share driven by the operator, per round."""
    rows = report["rounds"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
    x = [row["round"] for row in rows]
    rates = [100 * row["success_rate"] for row in rows]
    bounds = [wilson_interval(row["successes"], row["episodes"]) for row in rows]
    errors = np.array(
        [
            [r - 100 * b[0] for r, b in zip(rates, bounds, strict=True)],
            [100 * b[1] - r for r, b in zip(rates, bounds, strict=True)],
        ]
    )
    left.errorbar(x, rates, yerr=np.maximum(errors, 0), marker="o", capsize=4, color=_BLUE)
    left.set(title="success with the operator at hand", xlabel="round", ylabel="%", ylim=(-3, 103), xticks=x)
    right.plot(x, [100 * row["intervention_share"] for row in rows], marker="o", color=_ORANGE)
    right.set(title="share of steps driven by the operator", xlabel="round", ylabel="%", ylim=(0, None), xticks=x)
    return figure


def plot_evaluation(report: dict) -> plt.Figure:
    """Success of base and final policy alone, with 95 % intervals."""
    figure, axes = plt.subplots(figsize=(4.6, 3.4))
    for position, name in enumerate(("base", "final")):
        row = report["evaluation"][name]
        if not row["n"]:
            continue
        rate, (low, high) = 100 * row["success_rate"], (100 * bound for bound in row["ci95"])
        error = [[max(rate - low, 0)], [max(high - rate, 0)]]
        axes.bar(position, rate, yerr=error, capsize=6, color=(_BLUE, _ORANGE)[position], width=0.6)
        axes.text(position, 3, f"{row['successes']}/{row['n']}", ha="center", color="white")
    axes.set(title="policy alone, held-out seeds", ylabel="success, %", ylim=(0, 103))
    axes.set_xticks([0, 1], ["base", f"adapter {report['evaluation']['final']['adapter_version']}"])
    return figure


def plot_loss(report: dict) -> plt.Figure:
    """Training loss of every run, one after the other."""
    figure, axes = plt.subplots(figsize=(10, 3))
    start = 0
    for run in report["train"]["runs"]:
        steps, losses = zip(*run["losses"], strict=True) if run["losses"] else ((), ())
        axes.plot([start + step for step in steps], losses, label=f"round {run['round']} ({run['state'].lower()})")
        start += run["steps"]
    axes.set(title="training loss", xlabel="optimizer step, all rounds", ylabel="loss")
    if start:
        axes.legend()
    return figure


def plot_latency(report: dict) -> plt.Figure | None:
    """Takeover latency; None without a takeover."""
    latency = report["control"]["takeover_latency_ms"]
    if latency["p50"] is None:
        return None
    figure, axes = plt.subplots(figsize=(4.6, 2.2))
    axes.barh(["p99", "p50"], [latency["p99"], latency["p50"]], color=[_ORANGE, _BLUE])
    axes.set(title="takeover: device to published command", xlabel="ms")
    return figure


def render_html(report: dict, sheet: Path | None, video: Path | None) -> str:
    """The page.

    Args:
        report: contents of report.json.
        sheet: contact sheet to embed, a PNG.
        video: video beside the page, linked by name.
    """
    figures = [
        (plot_rounds(report), "Deployment: success and the operator's share, by round."),
        (plot_evaluation(report), "Evaluation without operator, base and final policy on the same held-out seeds."),
        (plot_loss(report), "Training loss as reported while training."),
        (plot_latency(report), "Time from the device's stamp to the published command."),
    ]
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>apo session</title>",
        f"<style>{_STYLE}</style></head><body><h1>apo session</h1>",
        f"<pre>{html.escape(format_table(report).strip())}</pre>",
    ]
    for figure, caption in figures:
        if figure is not None:
            parts.append(
                f"<figure><img src='data:image/png;base64,{_png(figure)}' alt='{html.escape(caption)}'>"
                f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            )
    if sheet is not None:
        data = base64.b64encode(sheet.read_bytes()).decode()
        caption = "An episode with a takeover. Blue: policy, red: policy, labelled undesirable, orange: operator."
        parts.append(
            f"<figure><img src='data:image/png;base64,{data}' alt='{caption}'>"
            f"<figcaption>{caption}</figcaption></figure>"
        )
    if video is not None:
        parts.append(f"<p><a href='{html.escape(video.name)}'>The same episode as video</a></p>")
    rows = "".join(
        f"<tr><td>{e['episode_id']}</td><td>{e['purpose']}</td><td>{e['round']}</td><td>{e['seed']}</td>"
        f"<td>{e['adapter_version']}</td><td>{_OUTCOMES[e['outcome']]}</td><td>{e['steps']}</td>"
        f"<td>{e['takeovers']}</td><td>{100 * e['intervention_share']:.0f} %</td></tr>"
        for e in report["episodes"]
    )
    head = "".join(
        f"<th>{name}</th>"
        for name in ("episode", "purpose", "round", "seed", "adapter", "outcome", "steps", "takeovers", "operator")
    )
    parts.append(f"<details><summary>all episodes</summary><table><tr>{head}</tr>{rows}</table></details>")
    versions = ", ".join(f"{html.escape(k)} {html.escape(v)}" for k, v in report["versions"].items())
    parts.append(f"<p>{versions}</p></body></html>")
    return "\n".join(parts)
