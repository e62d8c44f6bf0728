"""`apo evaluate`: success of a policy alone on seeds of the simulation, base policy or adapter, without ROS."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apo_core.adapters.store import AdapterStore
from apo_core.config.parameters import build, parameter_fields, parse_overrides, read_ros_parameters
from apo_core.errors import AdapterError, ApoError
from apo_core.system.shipped_files import shipped
from apo_core.system.terminal import LiveLine
from apo_core.tasks.specs import task_spec
from apo_core.wilson import wilson_interval
from apo_experiments.config import CONFIG_FILE, SECTION, EvaluationConfig
from apo_experiments.failures import count_text
from apo_experiments.rollouts import PROGRESS_S, Adapter, RolloutResult, evaluate_policy


def evaluate(config: EvaluationConfig, checkpoint: str, adapter: Adapter | None) -> list[RolloutResult]:
    """One episode a seed of `config`; None measures the base policy. Raises as `evaluate_policy`."""
    line = LiveLine(repeat_s=PROGRESS_S)

    def report(results: list[RolloutResult]) -> None:
        line.update(
            f"{sum(result.success for result in results)} of {len(results)} succeeded, {len(config.seeds)} wanted"
        )

    results = evaluate_policy(checkpoint, config.rollout, config.seeds, report, config.workers, adapter)
    line.note(summary(results))
    line.note(stage_text(config.task, results))
    if failures := count_text(result.failure for result in results if result.failure):
        line.note(failures)
    return results


def summary(results: Sequence[RolloutResult]) -> str:
    """`141 of 200 succeeded: 70.5%, 95 % interval 63.8% .. 76.4%`."""
    count = sum(result.success for result in results)
    low, high = wilson_interval(count, len(results))
    return f"{count} of {len(results)} succeeded: {count / len(results):.1%}, 95 % interval {low:.1%} .. {high:.1%}"


def stage_text(task: str, results: Sequence[RolloutResult]) -> str:
    """`stages reached: grasped 96, lifted 62`: trials that came to each stage or further."""
    names = task_spec(task).stages
    reached = [names.index(result.stage) for result in results if result.stage in names]
    counts = (f"{name} {sum(index <= furthest for furthest in reached)}" for index, name in enumerate(names))
    return f"stages reached: {', '.join(counts)}"


def choose_adapter(store: str | None, version: int | None) -> Adapter | None:
    """The adapter to measure: `version`, else the promoted one, else the newest; None for the base policy.

    Raises:
        AdapterError: the store has no such adapter, or none at all.
    """
    if store is None:
        if version:
            raise AdapterError(f"--version {version} needs --adapters, the folder of the adapter store")
        return None
    if version == 0:
        return None
    adapters = AdapterStore(store)
    number = version or adapters.promotion().number or adapters.latest()
    if number not in adapters.versions():
        raise AdapterError(f"{store}: has no adapter {number}; there are {adapters.versions()}")
    return Adapter(store, number)


def read_config(file: Path, overrides: Mapping[str, Any]) -> EvaluationConfig:
    """Those parameters of a comparison's file that an evaluation has; `overrides` win.

    Raises:
        ConfigError: a fault of the file or of `overrides`.
    """
    known = parameter_fields(EvaluationConfig)
    values = {name: value for name, value in read_ros_parameters(file, SECTION).items() if name in known}
    return build(EvaluationConfig, {**values, **overrides}, str(file))


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns the exit status."""
    options = _parser().parse_args(argv)
    try:
        named = {"evaluation_episodes": options.n, "evaluation_seed": options.seed, **parse_overrides(options.set)}
        config = read_config(shipped(options.config), {k: v for k, v in named.items() if v is not None})
        checkpoint = options.checkpoint or str(shipped(task_spec(config.task).checkpoint_dir))
        adapter = choose_adapter(options.adapters, options.version)
        what = f"adapter {adapter.version} of {adapter.store}" if adapter else f"base policy {checkpoint}"
        changes = config.perturbation.changes
        setting = "".join(f", {name} {value}" for name, value in changes.items())
        seeds = f"seeds {config.seeds.start} .. {config.seeds.stop - 1}"
        print(f"{what}, {seeds}, task {config.task}{setting}", flush=True)
        results = evaluate(config, checkpoint, adapter)
        if options.output:
            facts = {
                "checkpoint": checkpoint,
                "adapter": adapter.version if adapter else 0,
                "task": config.task,
                "perturbation": changes,
                "stages": task_spec(config.task).stages,
                "outcomes": [
                    [result.seed, result.success, result.steps, result.failure, result.stage] for result in results
                ],
            }
            Path(options.output).write_text(json.dumps(facts, indent=1) + "\n")
    except (ApoError, OSError) as error:
        print(f"apo evaluate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\napo evaluate: stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="apo evaluate", description=__doc__)
    parser.add_argument("--checkpoint", help="folder of the base policy (default models/<task>_base)")
    parser.add_argument("--adapters", help="adapter store, such as runs/<time>/adapters; without it the base policy")
    parser.add_argument("--version", type=int, help="adapter; 0 is the base policy (default: the promoted one)")
    parser.add_argument("--n", type=int, help="episodes")
    parser.add_argument("--seed", type=int, help="seed of the first episode")
    parser.add_argument(
        "--config", default=CONFIG_FILE, help="parameter file with task and horizon (default %(default)s)"
    )
    parser.add_argument(
        "--output", help="JSON file with seed, success, steps, failure and furthest stage of every episode"
    )
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="parameters of that file"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
