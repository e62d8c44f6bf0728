"""`apo compare`: trains each method from the same episodes and measures all on the same seeds."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apo_core.config.parameters import load, parameter_fields, parameter_values, parse_overrides
from apo_core.errors import ApoError, ConfigError
from apo_core.evidence import ALPHA, Finding
from apo_core.system.shipped_files import shipped
from apo_core.system.terminal import LiveLine
from apo_episodes.reader import list_episodes
from apo_experiments.compare.config import BASE, CompareConfig, check_episodes, trainer_configs
from apo_experiments.compare.result import MethodResult, TrainingResult, paired_outcomes
from apo_experiments.compare.table import markdown, rows, write_figure
from apo_experiments.config import CONFIG_FILE, SECTION
from apo_experiments.rollouts import PROGRESS_S, Adapter, RolloutResult, evaluate_policy
from apo_sim_bridge.perturbation.settings import Perturbation
from apo_trainer.config import METHOD_NAMES, TrainerConfig, check_typed_folders
from apo_trainer.data.episode_files import find_episodes
from apo_trainer.runs.run import run

# change neither what is trained nor how it is measured; a method's settings and seed are in its training's hash
_NOT_MEASURED = ("methods", "method_settings", "training_seeds", "against", "workers", "trainer_file")


@dataclass(frozen=True, slots=True)
class _Job:
    """One training and its measurement; of the base policy the measurement alone."""

    method: str
    label: str  # in reports
    folder: Path
    trainer: TrainerConfig


def compare(config: CompareConfig, trainers: Mapping[str, TrainerConfig], output: Path) -> list[MethodResult]:
    """Trains and measures; what is done in `output` already, with the same settings and data, is kept.

    In `output`: compare.json, table.md, compare.png, and `<method>/seed_<seed>` with the training run, its adapter and
    evaluation.json; `base` has the last alone.

    Args:
        config: what and how.
        trainers: parameters of the trainings of `BASE`, which has none but locates the data, and of each method;
            `method`, `seed` and what they start from are replaced.
        output: folder, made when missing.

    Raises:
        ApoError: no data, wrong settings, or the simulation failed. A training that fails is part of its row.
        OSError: `output` cannot be written to.
    """
    trainer = trainers[BASE]
    if not Path(trainer.episode_dir).is_dir():
        raise ConfigError("compare", [f"{trainer.episode_dir}: there is no such folder: run `./apo demo` first"])
    paths, _ = find_episodes(Path(trainer.episode_dir), Path(trainer.expert_dir))
    if not paths:
        raise ConfigError(
            "compare", [f"no episodes in {trainer.episode_dir} nor in {trainer.expert_dir}: run `./apo demo` first"]
        )
    check_episodes(paths, config.evaluation.task, config.evaluation.seeds)
    output.mkdir(parents=True, exist_ok=True)
    results: dict[str, MethodResult] = {}
    for job in _jobs(config, trainers, output):
        earlier = results[job.method].trainings if job.method in results else ()
        base = results[BASE].trainings[0] if BASE in results else None
        results[job.method] = MethodResult(job.method, (*earlier, _result(job, config, paths, base)))
        done = list(results.values())
        facts = {
            "settings": parameter_values(config),
            "trainer": parameter_values(trainer),
            "method_parameters": {name: _changes(trainers[name], trainer) for name in config.methods},
            "results": rows(done, config.against),
        }
        (output / "compare.json").write_text(json.dumps(facts, indent=2) + "\n")
        (output / "table.md").write_text(markdown(done, config.against))
    write_figure(done, output / "compare.png", _title(config, trainers))
    return done


def _jobs(config: CompareConfig, trainers: Mapping[str, TrainerConfig], output: Path) -> Iterator[_Job]:
    """Trainings start from the base policy, on undesirable steps of every adapter."""
    yield _Job(BASE, BASE, output / BASE, trainers[BASE])
    for name in config.methods:
        trainer = trainers[name]
        own = trainer.training
        pool = "all" if own.undesirable_of == "parent" else own.undesirable_of
        for seed in range(own.seed, own.seed + config.training_seeds):
            folder = output / name / f"seed_{seed}"
            label = name if config.training_seeds == 1 else f"{name}, seed {seed}"
            training = replace(own, method=name, start_from="base", undesirable_of=pool, seed=seed)
            made = replace(trainer, training=training, adapter_dir=str(folder / "adapters"))
            yield _Job(name, label, folder, made)


def _result(job: _Job, config: CompareConfig, paths: Sequence[Path], base: TrainingResult | None) -> TrainingResult:
    """Read from an earlier run when nothing it depends on has changed, else made; `base` is of the base policy."""
    file, key = job.folder / "evaluation.json", _key(job, config, paths)
    known = _kept(file, key)
    if known is not None:
        print(f"{job.label}: kept from {file}", flush=True)
        return known
    job.folder.mkdir(parents=True, exist_ok=True)
    result, adapter = (TrainingResult(()), None) if job.method == BASE else _train(job)
    if not result.failure:
        result = replace(result, outcomes=_measure(job, config, adapter, base))
    file.write_text(json.dumps({"method": job.method, **result.as_dict(), "key": key}, indent=2) + "\n")
    return result


def _kept(file: Path, key: str) -> TrainingResult | None:
    """The result in `file`; None where there is none, one of other settings, or half of one."""
    try:
        known = json.loads(file.read_text())
        return TrainingResult.from_dict(known) if known["key"] == key else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _key(job: _Job, config: CompareConfig, paths: Sequence[Path]) -> str:
    """Hash of everything a result depends on; the base policy depends on no data."""
    measured = {name: value for name, value in parameter_values(config).items() if name not in _NOT_MEASURED}
    facts: dict[str, Any] = {"measured": measured, "checkpoint": job.trainer.checkpoint_dir}
    if job.method != BASE:
        files = [(path.name, path.stat().st_size) for path in paths]
        facts.update(training=job.trainer.training.sha256, files=files)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _train(job: _Job) -> tuple[TrainingResult, Adapter | None]:
    """The result without its measurement. An adapter that the gate rejects is measured all the same."""
    line, config = LiveLine(repeat_s=PROGRESS_S), job.trainer

    def report(message: dict[str, Any]) -> None:
        if message["event"] == "progress":
            text = (
                f"step {message['step']}/{message['steps']}, loss {message['loss']:.4f}, {message['eta_s']:.0f} s left"
            )
            line.update(f"{job.label}: {text}")

    run_id = f"{job.method}_seed_{config.training.seed}"
    result = run(config, 0, (), job.folder / "training", run_id, report, lambda: False, gated=False)
    row = TrainingResult.from_run(config.training.seed, result)
    ended = f"{result.state}: {result.message} ({result.steps} steps, {result.seconds:.0f} s)"
    line.note(f"{job.label}: {ended}")
    # of this run: an earlier comparison may have left newer adapters there
    return row, None if result.version is None else Adapter(config.adapter_dir, result.version)


def _measure(
    job: _Job, config: CompareConfig, adapter: Adapter | None, base: TrainingResult | None
) -> tuple[tuple[int, bool], ...]:
    """(seed, success) of the evaluation's episodes; of those until it is decided, where that is wanted."""
    line, began, how = LiveLine(repeat_s=PROGRESS_S), time.monotonic(), config.evaluation

    def report(results: list[RolloutResult]) -> None:
        left = (time.monotonic() - began) / len(results) * (how.evaluation_episodes - len(results))
        count = sum(result.success for result in results)
        line.update(f"{job.label}: {count} of {len(results)} succeeded, {left:.0f} s left")

    def decided(results: list[RolloutResult]) -> bool:
        if base is None or not config.until_decided:
            return False
        test = paired_outcomes(_outcomes(results), base.outcomes)
        return test.evidence.finding(config.until_decided) is not Finding.UNDECIDED

    results = evaluate_policy(job.trainer.checkpoint_dir, how.rollout, how.seeds, report, how.workers, adapter, decided)
    line.note(f"{job.label}: {sum(result.success for result in results)} of {len(results)} succeeded")
    return _outcomes(results)


def _outcomes(results: Sequence[RolloutResult]) -> tuple[tuple[int, bool], ...]:
    return tuple((result.seed, result.success) for result in results)


def _changes(trainer: TrainerConfig, shared: TrainerConfig) -> dict[str, Any]:
    """The parameters in which a method's training differs."""
    common = parameter_values(shared)
    return {name: value for name, value in parameter_values(trainer).items() if value != common[name]}


def _title(config: CompareConfig, trainers: Mapping[str, TrainerConfig]) -> str:
    """Title of the figure: what all methods have in common."""
    steps = {trainers[name].training.steps for name in config.methods}
    each = [f"{max(steps)} training steps each"] if len(steps) == 1 and steps != {0} else []
    each += [f"{config.training_seeds} trainings each"] if config.training_seeds > 1 else []
    each += [f"{name} {value}" for name, value in config.evaluation.perturbation.changes.items()]
    return ", ".join([config.evaluation.task, *each])


def newest_run(runs: Path = Path("runs")) -> Path | None:
    """Episode folder of the last run of `apo demo` that recorded something."""
    found = [folder for folder in runs.glob("*/episodes") if list_episodes(folder)]
    return max(found, key=lambda folder: folder.stat().st_mtime, default=None)


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns the exit status."""
    options = _parser().parse_args(argv)
    output = Path(options.output or Path("runs") / time.strftime("compare_%Y%m%d_%H%M%S"))
    try:
        named = {
            "evaluation_episodes": options.n,
            "evaluation_seed": options.seed,
            "training_seeds": options.training_seeds,
            "until_decided": options.until_decided,
        }
        typed = parse_overrides(options.set)
        measured = {name: typed.pop(name) for name in list(typed) if name in parameter_fields(Perturbation)}
        given = {**{k: v for k, v in named.items() if v is not None}, **measured}
        config = load(CompareConfig, shipped(options.config), SECTION, given)
        config = config.with_methods(options.methods or config.methods)
        episodes = options.episodes or newest_run()
        paths = {
            "episode_dir": str(episodes) if episodes else None,
            "expert_dir": options.expert,
            "checkpoint_dir": options.checkpoint,
            "steps": options.steps,
        }
        overrides = {**{k: v for k, v in paths.items() if v is not None}, **typed}
        trainers = trainer_configs(config, overrides)
        check_typed_folders({"--episodes": options.episodes, "--expert": options.expert})
        data = f"episodes: {trainers[BASE].episode_dir}, demonstrations: {trainers[BASE].expert_dir}"
        print(f"{data}, results: {output}", flush=True)
        results = compare(config, trainers, output)
    except (ApoError, OSError) as error:
        print(f"apo compare: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        text = f"finished trainings are kept: repeat the command with --output {output}"
        print(f"\napo compare: stopped; {text}", file=sys.stderr)
        return 130
    print(f"\n{markdown(results, config.against)}\n{output}/table.md, {output}/compare.json, {output}/compare.png")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="apo compare", description=__doc__)
    parser.add_argument("--config", default=CONFIG_FILE, help="parameter file (default %(default)s)")
    parser.add_argument("--methods", nargs="+", choices=METHOD_NAMES, help="what to compare beside the base policy")
    parser.add_argument("--episodes", type=Path, help="folder of interactions (default: of the newest run in runs/)")
    parser.add_argument("--expert", help="folder of demonstrations")
    parser.add_argument("--checkpoint", help="folder of the base policy")
    parser.add_argument("--steps", type=int, help="optimizer steps of each method")
    parser.add_argument("--training-seeds", type=int, help="trainings of each method, a seed each")
    parser.add_argument("--n", type=int, help="evaluation episodes of each training")
    parser.add_argument(
        "--until-decided",
        nargs="?",
        type=float,
        const=ALPHA,
        metavar="ALPHA",
        help="end a method's evaluation once it is better or worse than the base policy (mistakes: at most %(const)s)",
    )
    parser.add_argument("--seed", type=int, help="seed of the first evaluation episode")
    parser.add_argument(
        "--output", help="folder of the results; an earlier one is continued (default runs/compare_<time>)"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="parameters of the trainer's file, of all methods, and perturbations of the evaluation",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
