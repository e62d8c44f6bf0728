"""Parameters of an evaluation: task, seeds and trials that `apo evaluate` and `apo compare` have in common."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.config.parameters import group, parameter
from apo_core.errors import ConfigError
from apo_core.system.shipped_files import shipped
from apo_core.tasks.specs import DEFAULT_TASK, fill_from_task, task_names, task_spec
from apo_experiments.rollouts import RolloutSettings
from apo_sim_bridge.perturbation.settings import Perturbation

CONFIG_FILE = "config/compare.yaml"  # one file for both programs, so that their success rates can be compared
SECTION = "compare"
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class EvaluationConfig:
    """How the success of a policy is measured: one episode per seed."""

    task: str = parameter(DEFAULT_TASK.name, "task of the simulation", choices=task_names())
    contract_file: str = parameter("config/contract.yaml", "the contract")
    evaluation_episodes: int = parameter(100, "episodes for the base policy and for each method", low=1, high=100_000)
    evaluation_seed: int = parameter(50_000, "seed of the first evaluation episode", low=0, high=MAX_SEED)
    horizon: int = parameter(0, "steps of an evaluation episode; 0: the task's", low=0, high=100_000)
    success_hold_steps: int = parameter(0, "consecutive steps that must show success; 0: the task's", low=0, high=1000)
    workers: int = parameter(2, "simulations at a time", low=1, high=1024)
    perturbation: Perturbation = group(Perturbation)

    def __post_init__(self) -> None:
        fill_from_task(self, "horizon", "success_hold_steps")
        if faults := self.perturbation.faults(self.task):
            raise ConfigError("evaluation", [f"{fault} ({CONFIG_FILE})" for fault in faults])

    @property
    def seeds(self) -> range:
        """Of the episodes."""
        return range(self.evaluation_seed, self.evaluation_seed + self.evaluation_episodes)

    @property
    def rollout(self) -> RolloutSettings:
        """How an episode runs."""
        instruction = task_spec(self.task).instruction
        return RolloutSettings(
            self.task,
            instruction,
            str(shipped(self.contract_file)),
            self.horizon,
            self.success_hold_steps,
            self.perturbation,
        )
