"""Runs the benchmarks of this folder one after the other; `make bench` calls it.

A benchmark is a program `bench_<name>.py` that prints one JSON line a figure (see figure.py). All lines of a run go to
runs/bench.jsonl; a table with goals goes to the terminal. The exit status is 1 when a benchmark failed, not when a goal
was missed: a goal is judged on a quiet machine, by a person. One without its hardware is skipped, with what is missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from figure import SKIPPED, Figure, parse_figure

HERE = Path(__file__).resolve().parent


def programs(only: str) -> list[Path]:
    """The benchmarks, or the one named; raises SystemExit when there is none of that name."""
    found = sorted(HERE.glob("bench_*.py"))
    names = [path.stem.removeprefix("bench_") for path in found]
    if not only:
        return found
    if only not in names:
        raise SystemExit(f"bench: no benchmark {only!r}; known: {', '.join(names)}")
    return [found[names.index(only)]]


def run(program: Path) -> tuple[list[Figure], int]:
    """Runs one benchmark; its figures and its exit status. Its other output goes to stderr as it comes."""
    print(f"{program.stem.removeprefix('bench_')} ...", file=sys.stderr, flush=True)
    figures = []
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True, cwd=HERE) as process:
        for line in process.stdout:
            try:
                figures.append(parse_figure(line))
            except ValueError:
                print(line, end="", file=sys.stderr)
    return figures, process.returncode


def table(figures: list[Figure]) -> str:
    """One line a figure."""
    rows = [("figure", "value", "baseline", "ratio", "goal", "", "n")] + [figure.row() for figure in figures]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="name of one benchmark")
    parser.add_argument("--output", default=str(HERE.parent / "runs" / "bench.jsonl"))
    arguments = parser.parse_args()
    everything, skipped, failed = [], [], []
    for program in programs(arguments.only):
        figures, status = run(program)
        everything += figures
        if status == SKIPPED and not figures:
            skipped.append(program.name)
        elif status or not figures:
            failed.append(f"{program.name} ended with status {status} and {len(figures)} figures")
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("".join(json.dumps(figure.as_dict()) + "\n" for figure in everything))
    print(table(everything))
    print(f"\n{output}")
    for name in skipped:
        print(f"bench: {name} was skipped, see above", file=sys.stderr)
    for text in failed:
        print(f"bench: {text}", file=sys.stderr)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
