"""`apo collect`: episodes of a policy with the scripted operator, several simulations side by side, without ROS.

A repeated command keeps the episodes that are there, so it also goes on after an interruption, with the same files.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from apo_core.config.parameters import load, parse_overrides
from apo_core.contract.contract import load_contract
from apo_core.errors import ApoError
from apo_core.system.shipped_files import shipped
from apo_core.system.terminal import LiveLine
from apo_experiments.evaluate import choose_adapter
from apo_experiments.loop.config import CONFIG_FILE, SECTION, CollectConfig
from apo_experiments.loop.simulated_loop import LoopSettings, SimulatedLoop, TrialFacts, episode_path, trial_facts
from apo_experiments.processes import results_of
from apo_experiments.rollouts import PROGRESS_S

_UNFINISHED = ".partial"  # folder of the files that a crash left, beside the episodes


def collect(
    settings: LoopSettings,
    seeds: Sequence[int],
    directory: Path,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> list[TrialFacts]:
    """Makes a folder hold the episode of each seed; those that are there are kept. What came of them, by seed.

    Args:
        settings: what the episodes depend on; the kept ones are taken to be of the same.
        seeds: one an episode.
        directory: of the episode files; made when missing.
        workers: processes.
        progress: takes the number of new episodes and of those that were missing, after each.

    Raises:
        CheckpointError, AdapterError, ConfigError, RuntimeError, OSError: from a worker.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = {seed: episode_path(directory, settings.rollout.task, seed) for seed in seeds}
    missing = [seed for seed, path in paths.items() if not path.exists()]
    for seed in missing:
        for rest in (directory / _UNFINISHED).glob(f"{paths[seed].stem}.*"):
            rest.unlink()
    with results_of(_run, [(settings, seed, directory) for seed in missing], workers) as made:
        for done, _ in enumerate(made, start=1):
            if progress is not None:
                progress(done, len(missing))
    return [trial_facts(path) for path in paths.values()]


def summary(facts: Sequence[TrialFacts], period_s: float) -> str:
    """`20 episodes: 18 succeeded, 13 takeovers, driven by the operator 27 % (31 s)`."""
    steps, human = sum(fact.steps for fact in facts), sum(fact.human_steps for fact in facts)
    successes, takeovers = sum(fact.success for fact in facts), sum(fact.takeovers for fact in facts)
    return (
        f"{len(facts)} episodes: {successes} succeeded, {takeovers} takeovers, driven by the operator "
        f"{human / max(steps, 1):.0%} ({human * period_s:.0f} s)"
    )


_worker: dict = {}


def _run(job: tuple[LoopSettings, int, Path]) -> None:
    settings, seed, directory = job
    if _worker.get("settings") != settings:
        _worker.update(settings=settings, loop=_make_loop(settings))
    _worker["loop"].run(seed, directory)


def _make_loop(settings: LoopSettings) -> SimulatedLoop:
    import torch

    from apo_core.adapters.store import AdapterStore
    from apo_policy_node.config import PolicyConfig
    from apo_vla.lora.adapter import LoraSettings, settings_of
    from apo_vla.serving.policy import load_for_serving

    torch.set_num_threads(1)
    served, adapter = PolicyConfig(), settings.adapter
    if adapter is None:
        policy = load_for_serving(settings.checkpoint, served.device, LoraSettings.of(served.lora), served.serving)
        return SimulatedLoop(settings, policy)
    version, tensors = AdapterStore(adapter.store).read(adapter.version)
    shape = settings_of(version.adapter_config)
    policy = load_for_serving(settings.checkpoint, served.device, shape, served.serving)
    policy.swap(policy.stage(tensors), adapter.version)
    return SimulatedLoop(settings, policy)


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns the exit status."""
    options = _parser().parse_args(argv)
    line, began = LiveLine(repeat_s=PROGRESS_S), time.monotonic()

    def report(done: int, wanted: int) -> None:
        left = (time.monotonic() - began) / done * (wanted - done)
        line.update(f"{done} of {wanted} episodes, {left:.0f} s left")

    try:
        named = {"task": options.task, "episodes": options.n, "seed": options.seed}
        overrides = {**{k: v for k, v in named.items() if v is not None}, **parse_overrides(options.set)}
        config = load(CollectConfig, shipped(options.config), SECTION, overrides)
        settings = config.loop(options.checkpoint or "", choose_adapter(options.adapters, options.version))
        who = f"adapter {settings.adapter.version}" if settings.adapter else f"base policy {settings.checkpoint}"
        seeds = config.seeds
        print(f"{config.task}, {who}, seeds {seeds.start} .. {seeds.stop - 1}, into {options.output}", flush=True)
        facts = collect(settings, seeds, Path(options.output), config.workers, report)
    except (ApoError, OSError, RuntimeError) as error:
        print(f"apo collect: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\napo collect: stopped; the same command goes on", file=sys.stderr)
        return 130
    line.note(summary(facts, load_contract(settings.rollout.contract_file).period_ns * 1e-9))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="apo collect", description=__doc__)
    parser.add_argument("--task", help="task of the simulation")
    parser.add_argument("--n", type=int, help="episodes")
    parser.add_argument("--seed", type=int, help="seed of the first episode")
    parser.add_argument("--output", default="runs/collected/episodes", help="folder of the files (default %(default)s)")
    parser.add_argument("--checkpoint", help="folder of the base policy (default models/<task>_base)")
    parser.add_argument("--adapters", help="adapter store; without it the base policy drives")
    parser.add_argument("--version", type=int, help="adapter; 0 is the base policy (default: the promoted one)")
    parser.add_argument("--config", default=CONFIG_FILE, help="parameter file (default %(default)s)")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="parameters of that file"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
