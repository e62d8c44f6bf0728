"""`apo expert`: how often a task's scripted expert succeeds from its start distribution, with and without noise."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from apo_core.contract.contract import Contract, load_contract
from apo_core.errors import ApoError, ConfigError
from apo_core.system.shipped_files import shipped
from apo_core.system.terminal import LiveLine
from apo_core.tasks.course import furthest_stage
from apo_core.tasks.specs import task_names, task_spec
from apo_core.wilson import wilson_interval
from apo_experiments.processes import results_of

FIRST_SEED = 300_000
PROGRESS_S = 10.0  # between lines of progress where there is no terminal


@dataclass(frozen=True, slots=True)
class ExpertTrial:
    """What came of one seed."""

    seed: int
    success: bool
    steps: int
    stage: str  # the furthest one; "": none
    outside: int  # steps whose command leaves the contract's workspace


def measure_expert(
    task: str,
    seeds: Sequence[int],
    noisy: bool,
    contract: Contract,
    progress: Callable[[list[ExpertTrial]], None] | None = None,
    workers: int | None = None,
) -> list[ExpertTrial]:
    """One trial a seed, without images; success must hold for the task's steps within those of a demonstration.

    Args:
        task: name in tasks.specs.
        seeds: one a trial.
        noisy: with the noise of the task's demonstrations.
        contract: rate and workspace.
        progress: takes the results so far after every trial.
        workers: processes; up to 2 if None.

    Raises:
        ApoError: a simulation cannot start.
    """
    results: list[ExpertTrial] = []
    with results_of(_run, [(task, seed, noisy, contract) for seed in seeds], workers) as found:
        for result in found:
            results.append(result)
            if progress is not None:
                progress(results)
    return results


def table_line(task: str, noisy: bool, results: Sequence[ExpertTrial]) -> str:
    """`| Lift | without | 100/100 | 96.3% .. 100.0% | 37 (34 .. 40, 44) |`, a row of docs/reference/tasks.md."""
    done = [result.steps for result in results if result.success]
    low, high = wilson_interval(len(done), len(results))
    steps = "-"
    if done:
        p10, median, p90 = np.percentile(done, (10, 50, 90))
        steps = f"{median:.0f} ({p10:.0f} .. {p90:.0f}, {max(done)})"
    noise = "with" if noisy else "without"
    return f"| {task} | {noise} | {len(done)}/{len(results)} | {low:.1%} .. {high:.1%} | {steps} |"


def failure_lines(results: Sequence[ExpertTrial]) -> list[str]:
    """A line for each seed that failed, and one for commands outside the workspace."""
    lines = [
        f"seed {result.seed} failed after {result.steps} steps, furthest stage: {result.stage or 'none'}"
        for result in results
        if not result.success
    ]
    outside = sum(result.outside for result in results)
    if outside:
        lines.append(f"{outside} commands leave the workspace (workspace_low, workspace_high of the contract)")
    return lines


_worker: dict = {}


def _run(job: tuple[str, int, bool, Contract]) -> ExpertTrial:
    task, seed, noisy, contract = job
    from apo_core.tasks.expert import make_expert
    from apo_sim_bridge.demonstrations.collect import NoiseBursts, collect, scaled_noise
    from apo_sim_bridge.sim.env import SimConfig, SimEnv
    from apo_sim_bridge.sim.ground_truth import task_stages

    spec = task_spec(task)
    if "env" not in _worker:
        try:
            config = SimConfig(task=task, cameras={}, rate_hz=contract.rate_hz, horizon=spec.demonstration_steps)
            _worker["env"] = SimEnv(config)
        except (RuntimeError, ValueError) as error:
            raise ApoError(f"the simulation cannot start: {error}") from None
    noise = scaled_noise(NoiseBursts(), task) if noisy else None
    limits, period_s = contract.limits, contract.period_ns * 1e-9
    low, high = np.array(limits.workspace_low), np.array(limits.workspace_high)
    held = steps = outside = 0
    stages = []
    for step in collect(_worker["env"], make_expert(task), seed, noise, extra_steps=spec.demonstration_steps):
        steps += 1
        stages.append(task_stages(task, step.next_frame))
        goal = step.frame.ee_position + step.expert_action[:3] * period_s
        outside += bool(np.any(goal < low) or np.any(goal > high))
        held = held + 1 if step.next_frame.success else 0
        if held >= spec.success_hold_steps:
            break
    return ExpertTrial(seed, held >= spec.success_hold_steps, steps, furthest_stage(stages), outside)


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns the exit status."""
    parser = argparse.ArgumentParser(prog="apo expert", description=__doc__)
    parser.add_argument("--task", nargs="+", required=True, metavar="TASK", help=f"of {', '.join(task_names())}")
    parser.add_argument("--n", type=int, default=100, help="trials (default %(default)s)")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="seed of the first trial (default %(default)s)")
    parser.add_argument("--noise", action="store_true", help="with the noise of the task's demonstrations")
    parser.add_argument("--workers", type=int, help="simulations at a time (default: up to 2)")
    parser.add_argument("--contract", default="config/contract.yaml", help="rate and workspace (default %(default)s)")
    options = parser.parse_args(argv)
    try:
        faults = [
            f"task = {name!r} is not one of {list(task_names())}" for name in options.task if name not in task_names()
        ]
        faults += [f"--n = {options.n} must be at least 1"] if options.n < 1 else []
        if faults:
            raise ConfigError("apo expert", faults)
        contract = load_contract(shipped(options.contract))
        for task in options.task:
            _measure(task, options, contract)
    except (ApoError, OSError) as error:
        print(f"apo expert: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\napo expert: stopped", file=sys.stderr)
        return 130
    return 0


def _measure(task: str, options: argparse.Namespace, contract: Contract) -> None:
    line = LiveLine(repeat_s=PROGRESS_S)

    def report(results: list[ExpertTrial]) -> None:
        count = sum(result.success for result in results)
        line.update(f"{task}: {count} of {len(results)} succeeded, {options.n} wanted")

    seeds = range(options.seed, options.seed + options.n)
    results = measure_expert(task, seeds, options.noise, contract, report, options.workers)
    line.note(table_line(task, options.noise, results))
    for text in failure_lines(results):
        line.note(text)


if __name__ == "__main__":
    raise SystemExit(main())
