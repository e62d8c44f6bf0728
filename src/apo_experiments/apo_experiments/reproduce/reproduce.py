"""`apo reproduce`: the paper's experiments in simulation, from collection to the report; a repeated command goes on."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from apo_core.config.parameters import load, parse_overrides
from apo_core.errors import ApoError
from apo_core.system.shipped_files import shipped
from apo_experiments.reproduce.config import BUDGETS, SECTION, ReproduceConfig, config_file
from apo_experiments.reproduce.jobs import Job, plan_text, run_jobs
from apo_experiments.reproduce.parts import PARTS
from apo_experiments.reproduce.report import Report
from apo_experiments.reproduce.study import Study


def jobs_of(study: Study, parts: Sequence[str]) -> list[Job]:
    """Those of some parts in order; what two parts have in common comes once."""
    found: dict[str, Job] = {}
    for part in parts:
        for job in PARTS[part](study).jobs():
            found.setdefault(job.name, job)
    return list(found.values())


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns the exit status."""
    options = _parser().parse_args(argv)
    parts = list(PARTS) if options.part == "all" else [options.part]
    output = Path(options.output or f"runs/reproduce_{options.budget}")
    command = " ".join(["apo reproduce", *(sys.argv[1:] if argv is None else argv)])
    try:
        named = {
            "tasks": options.tasks,
            "checkpoint": options.checkpoint,
            "training_seeds": options.seeds,
            "workers": options.workers,
        }
        overrides = {**{k: v for k, v in named.items() if v is not None}, **parse_overrides(options.set)}
        file = options.config or config_file(options.budget)
        config = load(ReproduceConfig, shipped(file), SECTION, overrides)
        study = Study(config, output)
        study.check()
        jobs = jobs_of(study, parts)
        print(f"{plan_text(jobs)}\nresults: {output}", flush=True)
        if options.plan:
            return 0
        output.mkdir(parents=True, exist_ok=True)
        report = Report(config, output, command)

        def note(text: str) -> None:
            print(text, flush=True)
            report.write()

        run_jobs(jobs, note, time.monotonic)
    except (ApoError, OSError, RuntimeError) as error:
        print(f"apo reproduce: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\napo reproduce: stopped; the same command goes on", file=sys.stderr)
        return 130
    for table in report.write():
        print(f"\n{table.markdown()}")
    print(f"{output}/report.html, report.md, report.json")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="apo reproduce", description=__doc__)
    parser.add_argument("part", nargs="?", default="table1", choices=[*PARTS, "all"], help="default %(default)s")
    parser.add_argument("--tasks", nargs="+", help="tasks, each with a base policy in models/")
    parser.add_argument("--checkpoint", help="base policy in place of models/<task>_base, with a single task")
    parser.add_argument("--seeds", type=int, help="trainings of each method, a seed each")
    parser.add_argument("--budget", choices=BUDGETS, default="small", help="numbers of episodes (default %(default)s)")
    parser.add_argument("--workers", type=int, help="simulations at a time")
    parser.add_argument("--config", help="parameter file (default config/reproduce_<budget>.yaml)")
    parser.add_argument("--output", help="folder of the results; an earlier one is continued")
    parser.add_argument("--plan", action="store_true", help="print what it would take, and end")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="parameters of that file"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
