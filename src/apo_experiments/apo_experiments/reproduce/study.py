"""What every part of a reproduction does with a task: demonstrations, interactions, trainings, measurements."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from apo_core.config.parameters import load, parameter_values
from apo_core.contract.contract import load_contract
from apo_core.errors import ConfigError
from apo_core.system.shipped_files import shipped
from apo_core.system.terminal import LiveLine
from apo_core.tasks.specs import task_spec
from apo_experiments.compare.compare import compare
from apo_experiments.compare.config import CompareConfig, trainer_configs
from apo_experiments.compare.result import MethodResult
from apo_experiments.config import SECTION, EvaluationConfig
from apo_experiments.loop.collect import collect, summary
from apo_experiments.loop.config import CollectConfig
from apo_experiments.loop.simulated_loop import TrialFacts
from apo_experiments.reproduce.config import ReproduceConfig
from apo_experiments.rollouts import PROGRESS_S, Adapter, RolloutResult, evaluate_policy
from apo_sim_bridge.perturbation.settings import Perturbation
from apo_teleop.devices.scripted_operator import ScriptedConfig
from apo_trainer.config import TrainerConfig
from apo_vla.checkpoints.types import MANIFEST


class Study:
    """The settings of a reproduction, applied.

    Args:
        config: numbers, seeds and files.
        output: folder of all results; an earlier one is continued.
    """

    def __init__(self, config: ReproduceConfig, output: Path):
        self.config, self.output = config, output
        self._line = LiveLine(repeat_s=PROGRESS_S)

    def check(self) -> None:
        """Raises ConfigError for a task without a base policy, or a fault in the files of the trainings."""
        lacking = [name for name in self.config.tasks if not (Path(self.checkpoint(name)) / MANIFEST).is_file()]
        if lacking:
            cure = f"no checkpoint in {self.config.checkpoint}" if self.config.checkpoint else ""
            faults = [
                cure or f"no base policy of {name}: `./apo base-policy --set task={name}` makes one" for name in lacking
            ]
            raise ConfigError("reproduce", faults)
        self.trainers(self.comparison(self.config.tasks[0], Perturbation(), self.config.methods), {})

    def checkpoint(self, task: str) -> str:
        """Folder of a task's base policy."""
        return str(shipped(self.config.checkpoint or task_spec(task).checkpoint_dir))

    def comparison(self, task: str, perturbation: Perturbation, methods: tuple[str, ...]) -> CompareConfig:
        """How methods are compared on a task."""
        config = self.config
        values = {
            "task": task,
            "contract_file": config.contract_file,
            "trainer_file": config.trainer_file,
            "training_seeds": config.training_seeds,
            "evaluation_episodes": config.evaluation_episodes,
            "evaluation_seed": config.evaluation_seed,
            "workers": config.workers,
        }
        loaded = load(CompareConfig, shipped(config.compare_file), SECTION, values).with_methods(methods)
        return replace(loaded, evaluation=replace(loaded.evaluation, perturbation=perturbation))

    def trainers(self, comparison: CompareConfig, changes: Mapping[str, Any]) -> dict[str, TrainerConfig]:
        """Parameters of the trainings of a comparison; `changes` win over those of the methods."""
        return trainer_configs(comparison, {"checkpoint_dir": self.checkpoint(comparison.evaluation.task), **changes})

    def demonstrate(self, task: str, count: int, seed: int, folder: Path, perturbation: Perturbation) -> None:
        """Makes a folder hold demonstrations."""
        from apo_sim_bridge.demonstrations.files import ensure_demonstrations

        contract = load_contract(shipped(self.config.contract_file))
        ensure_demonstrations(
            task,
            folder,
            count,
            seed,
            contract=contract,
            progress=self._line.update,
            workers=self.config.workers,
            perturbation=perturbation,
        )

    def interact(
        self, task: str, seeds: range, folder: Path, perturbation: Perturbation, adapter: Adapter | None
    ) -> list[TrialFacts]:
        """Makes a folder hold episodes of a policy with its operator; what came of them."""
        collected = CollectConfig(
            operator=ScriptedConfig(task=task), contract_file=self.config.contract_file, perturbation=perturbation
        )
        settings = collected.loop(self.checkpoint(task), adapter)

        def report(done: int, wanted: int) -> None:
            self._line.update(f"{task}: {done} of {wanted} episodes with the operator")

        facts = collect(settings, seeds, folder, self.config.workers, report)
        period_s = load_contract(settings.rollout.contract_file).period_ns * 1e-9
        self._line.note(f"{task}: {summary(facts, period_s)}")
        return facts

    def compare(
        self,
        task: str,
        methods: tuple[str, ...],
        folder: Path,
        episodes: Path,
        demonstrations: Path,
        perturbation: Perturbation,
        changes: Mapping[str, Any],
    ) -> list[MethodResult]:
        """Trains and measures methods; results go to `folder`."""
        comparison = self.comparison(task, perturbation, methods)
        where = {"episode_dir": str(episodes), "expert_dir": str(demonstrations)}
        return compare(comparison, self.trainers(comparison, {**changes, **where}), folder)

    def measure(
        self, task: str, file: Path, adapter: Adapter | None, perturbation: Perturbation
    ) -> list[tuple[int, bool]]:
        """(seed, success) of each evaluation episode; kept in `file`."""
        evaluation = self.comparison(task, perturbation, self.config.methods).evaluation
        key = self._key(evaluation, adapter)
        try:
            known = json.loads(file.read_text())
            if known["key"] == key:
                return [(int(seed), bool(success)) for seed, success in known["outcomes"]]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass

        def report(results: list[RolloutResult]) -> None:
            count = sum(result.success for result in results)
            self._line.update(f"{file.stem}: {count} of {len(results)} succeeded")

        results = evaluate_policy(
            self.checkpoint(task), evaluation.rollout, evaluation.seeds, report, evaluation.workers, adapter
        )
        outcomes = [(result.seed, result.success) for result in results]
        self._line.note(f"{file.stem}: {sum(success for _, success in outcomes)} of {len(outcomes)} succeeded")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"key": key, "outcomes": outcomes}) + "\n")
        return outcomes

    def _key(self, evaluation: EvaluationConfig, adapter: Adapter | None) -> str:
        facts = {
            "measured": {name: value for name, value in parameter_values(evaluation).items() if name != "workers"},
            "checkpoint": self.checkpoint(evaluation.task),
            "adapter": _content(adapter),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _content(adapter: Adapter | None) -> str:
    """Hash of an adapter's weights; empty for the base policy."""
    from apo_core.adapters.store import AdapterStore

    if adapter is None:
        return ""
    _, tensors = AdapterStore(adapter.store).read(adapter.version)
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].tobytes())
    return digest.hexdigest()
