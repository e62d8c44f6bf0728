"""`apo compare`: trains each method from the same episodes with the same budget and measures all on the same seeds."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from apo_core.adapter_store import AdapterStore
from apo_core.config import load, parse_overrides
from apo_core.episode_file import list_episodes
from apo_core.errors import ApoError, ConfigError
from apo_trainer.compare_config import CONFIG_FILE, CompareConfig, check_seeds
from apo_trainer.comparison import BASE, MethodResult, markdown, write_figure
from apo_trainer.config import METHOD_NAMES, TrainerConfig, check_typed_folders, read_config
from apo_trainer.dataset import find_episodes
from apo_trainer.progress_line import ProgressLine
from apo_trainer.rollouts import Adapter, RolloutResult, RolloutSettings, evaluate_policy
from apo_trainer.run_files import PUBLISHED
from apo_trainer.training_run import run


def compare(config: CompareConfig, trainer: TrainerConfig, output: Path) -> list[MethodResult]:
    """Trains and measures; what is done in `output` already, with the same settings and data, is kept.

    In `output`: compare.json, table.md, compare.png, and a folder a method with its training run, its adapter and
    evaluation.json.

    Args:
        config: what and how.
        trainer: parameters of every training but `method` and what it starts from, and where the data are.
        output: folder, made when missing.

    Raises:
        ApoError: no data, wrong settings, or the simulation failed. A training that fails is a row of the table.
        OSError: `output` cannot be written to.
    """
    if not Path(trainer.episode_dir).is_dir():
        raise ConfigError("compare", [f"{trainer.episode_dir}: there is no such folder: run `./apo demo` first"])
    paths, _ = find_episodes(Path(trainer.episode_dir), Path(trainer.expert_dir))
    if not paths:
        raise ConfigError(
            "compare", [f"no episodes in {trainer.episode_dir} nor in {trainer.expert_dir}: run `./apo demo` first"]
        )
    check_seeds(paths, config.seeds)
    output.mkdir(parents=True, exist_ok=True)
    results = []
    for name in (BASE, *config.methods):
        results.append(_method_result(name, config, trainer, paths, output))
        facts = {"settings": asdict(config), "trainer": asdict(trainer), "results": [r.as_dict() for r in results]}
        (output / "compare.json").write_text(json.dumps(facts, indent=2) + "\n")
        (output / "table.md").write_text(markdown(results))
    title = f"{config.task}, {trainer.steps} training steps each" if trainer.steps else config.task
    write_figure(results, output / "compare.png", title)
    return results


def _method_result(
    name: str, config: CompareConfig, trainer: TrainerConfig, paths: Sequence[Path], output: Path
) -> MethodResult:
    """One row: read from an earlier run when nothing it depends on has changed, else made."""
    file, key = output / name / "evaluation.json", _key(name, config, trainer, paths)
    known = _kept(file, key)
    if known is not None:
        print(f"{name}: kept from {file}", flush=True)
        return known
    file.parent.mkdir(parents=True, exist_ok=True)
    result = MethodResult(BASE, ()) if name == BASE else _train(name, trainer, file.parent)
    if not result.failure:
        store = file.parent / "adapters"
        adapter = None if name == BASE else Adapter(str(store), AdapterStore(store).latest())
        result = replace(result, outcomes=_measure(name, config, trainer, adapter))
    file.write_text(json.dumps({**result.as_dict(), "key": key}, indent=2) + "\n")
    return result


def _kept(file: Path, key: str) -> MethodResult | None:
    """The row in `file`; None where there is none, one of other settings, or half of one."""
    try:
        known = json.loads(file.read_text())
        return MethodResult.from_dict(known) if known["key"] == key else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _key(name: str, config: CompareConfig, trainer: TrainerConfig, paths: Sequence[Path]) -> str:
    """Hash of everything a row depends on; the base policy depends on no data."""
    measured = {**asdict(config), "methods": None, "workers": None, "trainer_file": None}
    facts: dict[str, Any] = {"measured": measured, "checkpoint": trainer.checkpoint_dir}
    if name != BASE:
        files = [(path.name, path.stat().st_size) for path in paths]
        facts.update(method=name, training=_training(name, trainer).sha256, files=files)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _training(name: str, trainer: TrainerConfig) -> TrainerConfig:
    """Parameters of a method's training: from the base policy, on undesirable steps of every adapter."""
    pool = "all" if trainer.undesirable_of == "parent" else trainer.undesirable_of
    return replace(trainer, method=name, start_from="base", undesirable_of=pool)


def _train(name: str, trainer: TrainerConfig, folder: Path) -> MethodResult:
    """The row without its measurement. The gate judges, but what it would refuse is measured all the same."""
    line = ProgressLine()

    def report(message: dict[str, Any]) -> None:
        if message["event"] == "progress":
            text = (
                f"step {message['step']}/{message['steps']}, loss {message['loss']:.4f}, {message['eta_s']:.0f} s left"
            )
            line.update(f"{name}: {text}")

    config = replace(_training(name, trainer), adapter_dir=str(folder / "adapters"))
    result = run(config, 0, (), folder / "training", name, report, lambda: False, gated=False)
    verdict = result["verdict"] or {"values": {}, "reasons": ()}
    values = verdict["values"]
    row = MethodResult(
        method=name,
        outcomes=(),
        desirable=values.get("held_out_desirable_log_ratio"),
        undesirable=values.get("held_out_undesirable_log_ratio"),
        l1=values.get("held_out_l1"),
        objections=tuple(verdict["reasons"]) if result["verdict"] else None,
        train_seconds=result.get("train_seconds"),
        steps=result["steps"],
        notes=tuple(result["notes"]),
        failure="" if result["state"] == PUBLISHED else result["message"],
    )
    line.done(f"{name}: {result['state']}: {result['message']} ({result['steps']} steps, {result['seconds']:.0f} s)")
    return row


def _measure(
    name: str, config: CompareConfig, trainer: TrainerConfig, adapter: Adapter | None
) -> tuple[tuple[int, bool], ...]:
    from apo_sim_bridge.demonstration_files import INSTRUCTIONS

    line, began = ProgressLine(), time.monotonic()
    settings = RolloutSettings(
        config.task, INSTRUCTIONS[config.task], config.contract_file, config.horizon, config.success_hold_steps
    )

    def report(results: list[RolloutResult]) -> None:
        left = (time.monotonic() - began) / len(results) * (config.evaluation_episodes - len(results))
        count = sum(result.success for result in results)
        line.update(f"{name}: {count} of {len(results)} succeeded, {left:.0f} s left")

    results = evaluate_policy(trainer.checkpoint_dir, settings, config.seeds, report, config.workers, adapter)
    line.done(f"{name}: {sum(result.success for result in results)} of {len(results)} succeeded")
    return tuple((result.seed, result.success) for result in results)


def newest_run(runs: Path = Path("runs")) -> Path | None:
    """Episode folder of the last run of `apo demo` that recorded something."""
    found = [folder for folder in runs.glob("*/episodes") if list_episodes(folder)]
    return max(found, key=lambda folder: folder.stat().st_mtime, default=None)


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns the exit status."""
    options = _parser().parse_args(argv)
    output = Path(options.output or Path("runs") / time.strftime("compare_%Y%m%d_%H%M%S"))
    try:
        named = {"methods": options.methods, "evaluation_episodes": options.n, "evaluation_seed": options.seed}
        config = load(CompareConfig, Path(options.config), "compare", {k: v for k, v in named.items() if v is not None})
        episodes = options.episodes or newest_run()
        paths = {
            "episode_dir": str(episodes) if episodes else None,
            "expert_dir": options.expert,
            "checkpoint_dir": options.checkpoint,
            "steps": options.steps,
        }
        overrides = {**{k: v for k, v in paths.items() if v is not None}, **parse_overrides(options.set)}
        trainer = read_config(config.trainer_file, overrides)
        check_typed_folders({"--episodes": options.episodes, "--expert": options.expert})
        print(f"episodes: {trainer.episode_dir}, demonstrations: {trainer.expert_dir}, results: {output}", flush=True)
        results = compare(config, trainer, output)
    except (ApoError, OSError) as error:
        print(f"apo compare: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        text = f"finished methods are kept: type the same with --output {output}"
        print(f"\napo compare: stopped; {text}", file=sys.stderr)
        return 130
    print(f"\n{markdown(results)}\n{output}/table.md, {output}/compare.json, {output}/compare.png")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="apo compare", description=__doc__)
    parser.add_argument("--config", default=CONFIG_FILE, help="parameter file (default %(default)s)")
    parser.add_argument("--methods", nargs="+", choices=METHOD_NAMES, help="what to compare beside the base policy")
    parser.add_argument("--episodes", type=Path, help="folder of interactions (default: of the newest run in runs/)")
    parser.add_argument("--expert", help="folder of demonstrations")
    parser.add_argument("--checkpoint", help="folder of the base policy")
    parser.add_argument("--steps", type=int, help="optimizer steps of each method")
    parser.add_argument("--n", type=int, help="evaluation episodes of each method")
    parser.add_argument("--seed", type=int, help="seed of the first evaluation episode")
    parser.add_argument(
        "--output", help="folder of the results; an earlier one is continued (default runs/compare_<time>)"
    )
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="parameters of the trainer's file"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
