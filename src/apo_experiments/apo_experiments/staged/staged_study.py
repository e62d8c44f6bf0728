"""`apo staged-study`: whether staged promotion promotes a good adapter and rolls back bad ones, in simulation.

Every candidate and the base policy drive one episode a seed with the scripted operator. From these recordings the
trial of each candidate is replayed many times, with the code that decides on the robot. A repeated command goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apo_core.adapters.manifest import MODEL_FILE
from apo_core.adapters.store import AdapterStore
from apo_core.config.parameters import load, parameter_values, parse_overrides
from apo_core.contract.contract import load_contract
from apo_core.errors import ApoError, ConfigError
from apo_core.system.shipped_files import shipped
from apo_core.system.terminal import LiveLine
from apo_experiments.loop.collect import collect, summary
from apo_experiments.loop.config import CollectConfig
from apo_experiments.loop.simulated_loop import LoopSettings, TrialFacts, episode_path
from apo_experiments.reproduce.tables import Table
from apo_experiments.rollouts import PROGRESS_S, Adapter
from apo_experiments.staged.candidates import Candidate, stored_candidates, study_of, trained_candidates
from apo_experiments.staged.config import CONFIG_FILE, SECTION, StagedConfig
from apo_experiments.staged.replay import replay
from apo_experiments.staged.result import CandidateResult, report, table
from apo_teleop.devices.scripted_operator import ScriptedConfig

BASE = "base"
ITSELF = "the base policy itself"


class Recordings:
    """One episode of each policy and seed, as files.

    Args:
        config: task and seeds.
        checkpoint: folder of the base policy.
        folder: of all files; those of an earlier run are kept.
        policies: name of a folder -> adapter; None: the base policy.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        config: StagedConfig,
        checkpoint: str,
        folder: Path,
        policies: Mapping[str, Adapter | None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._config, self._folder, self._clock = config, folder, clock
        # small images: nothing trains on them
        how = CollectConfig(
            operator=ScriptedConfig(task=config.task), contract_file=config.contract_file, image_compression="jpeg"
        )
        self._settings = {name: how.loop(checkpoint, adapter) for name, adapter in policies.items()}
        self._parameters = {k: v for k, v in parameter_values(how).items() if k not in ("workers", "episodes", "seed")}
        self._left = sum(not self._path(name, seed).exists() for name in policies for seed in config.seeds)
        self._done, self._began_s = 0, clock()

    @property
    def missing(self) -> int:
        """Episodes that are not there yet."""
        return self._left - self._done

    def record(self, name: str, note: Callable[[str], None]) -> tuple[TrialFacts, ...]:
        """What came of each seed under a policy, in the order of the seeds; missing episodes are recorded.

        Args:
            name: of the policy.
            note: takes progress.

        Raises:
            ConfigError: the folder holds episodes of other settings.
            CheckpointError, AdapterError, RuntimeError, OSError: from a worker.
        """
        self._check(name, self._settings[name])
        before = self._done

        def report(done: int, wanted: int) -> None:
            self._done = before + done
            left_s = (self._clock() - self._began_s) / self._done * self.missing
            note(f"{name}: {done} of {wanted} episodes; in all {self.missing} left, about {left_s / 60:.0f} min")

        seeds = self._config.seeds
        return tuple(collect(self._settings[name], seeds, self._folder / name, self._config.workers, report))

    def _path(self, name: str, seed: int) -> Path:
        return episode_path(self._folder / name, self._config.task, seed)

    def _check(self, name: str, settings: LoopSettings) -> None:
        """Binds the folder of a policy to the settings of its episodes."""
        facts = {
            "parameters": self._parameters,
            "checkpoint": settings.checkpoint,
            "adapter": _content(settings.adapter),
        }
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        file = self._folder / f"{name}.key"
        known = file.read_text().strip() if file.is_file() else None
        if known not in (None, key):
            fault = f"{self._folder / name} holds episodes of another adapter or of other settings: name a new --output"
            raise ConfigError("staged study", [fault])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(key + "\n")


def _content(adapter: Adapter | None) -> str:
    """Hash of an adapter's weights; empty for the base policy."""
    if adapter is None:
        return ""
    return str(AdapterStore(adapter.store).manifest(adapter.version)["files"][MODEL_FILE]["sha256"])


def trials_of(
    name: str, adapter: int, episodes: Sequence[TrialFacts], base: Sequence[TrialFacts], config: StagedConfig
) -> CandidateResult:
    """A candidate's replayed trials; the draws of a repetition are the same for every candidate.

    Args:
        name: of the candidate.
        adapter: its version, 0 for the base policy.
        episodes, base: of the candidate and of the base policy, a seed each.
        config: limits, repetitions and seed of the draws.
    """
    generators = (np.random.default_rng([config.draw_seed, number]) for number in range(config.repetitions))
    trials = tuple(replay(episodes, base, config.trial, rng) for rng in generators)
    return CandidateResult(name, tuple(episodes), tuple(base), trials, adapter)


def run_study(
    config: StagedConfig, checkpoint: str, candidates: Sequence[Candidate], output: Path, line: LiveLine
) -> Table:
    """Records what is missing and replays the trials; writes report.json and report.md after each candidate.

    Args:
        config: of the study.
        checkpoint: folder of the base policy.
        candidates: each is on trial beside the base policy, and so is the base policy itself.
        output: folder of the episodes and of the report.
        line: shows progress.

    Raises:
        ApoError, RuntimeError, OSError: as `Recordings.record`.
    """
    policies: dict[str, Adapter | None] = {BASE: None}
    policies |= {_folder(each.adapter): each.adapter for each in candidates}
    recordings = Recordings(config, checkpoint, output / "episodes", policies)
    line.note(f"{len(policies)} policies on {config.episodes} seeds, {recordings.missing} episodes to record")
    period_s = load_contract(shipped(config.contract_file)).period_ns * 1e-9

    def recorded(name: str) -> tuple[TrialFacts, ...]:
        facts = recordings.record(name, line.update)
        line.note(f"{name}: {summary(facts, period_s)}")
        return facts

    base = recorded(BASE)
    results = [trials_of(ITSELF, 0, base, base, config)]
    for each in candidates:
        episodes = recorded(_folder(each.adapter))
        results.append(trials_of(each.name, each.adapter.version, episodes, base, config))
        shown = table(results, config.trial, period_s)
        facts: dict[str, Any] = {"settings": parameter_values(config), "checkpoint": checkpoint}
        facts |= report(results, config.trial, period_s)
        (output / "report.json").write_text(json.dumps(facts, indent=1) + "\n")
        (output / "report.md").write_text(shown.markdown())
    return shown


def _folder(adapter: Adapter) -> str:
    return f"adapter_{adapter.version}"


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns the exit status."""
    options = _parser().parse_args(argv)
    output, line = Path(options.output), LiveLine(repeat_s=PROGRESS_S)
    try:
        named = {"episodes": options.n, "repetitions": options.repetitions, "seed": options.seed}
        overrides = {**{k: v for k, v in named.items() if v is not None}, **parse_overrides(options.set)}
        config = load(StagedConfig, shipped(options.config), SECTION, overrides)
        if options.versions and not options.adapters:
            raise ConfigError("command line", ["--versions needs --adapters, the folder of the adapter store"])
        study = study_of(config, output)
        study.check()
        print(f"{config.task}, results: {output}", flush=True)
        if options.adapters:
            candidates = stored_candidates(Path(options.adapters), options.versions)
        else:
            output.mkdir(parents=True, exist_ok=True)
            candidates = trained_candidates(config, output, study, line.update)
        made = run_study(config, study.checkpoint(config.task), candidates, output, line)
    except (ApoError, OSError, RuntimeError) as error:
        print(f"apo staged-study: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\napo staged-study: stopped; the same command goes on", file=sys.stderr)
        return 130
    line.note(f"\n{made.markdown()}\n{output}/report.md, {output}/report.json")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="apo staged-study", description=__doc__)
    parser.add_argument("--n", type=int, help="seeds, an episode of each policy on each")
    parser.add_argument("--repetitions", type=int, help="replayed trials of each candidate")
    parser.add_argument("--seed", type=int, help="first seed")
    parser.add_argument("--adapters", help="adapter store with the candidates (default: three are trained)")
    parser.add_argument("--versions", type=int, nargs="+", default=[], help="candidates of that store (default: all)")
    parser.add_argument(
        "--output",
        default="runs/staged_study",
        help="folder of the results; an earlier one is continued (default %(default)s)",
    )
    parser.add_argument("--config", default=CONFIG_FILE, help="parameter file (default %(default)s)")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="parameters of that file"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
