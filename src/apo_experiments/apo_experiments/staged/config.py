"""Parameters of `apo staged-study` (config/staged_study.yaml)."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.adapters.trial import TrialLimits
from apo_core.config.parameters import group, parameter
from apo_core.errors import ConfigError
from apo_core.tasks.specs import DEFAULT_TASK, task_names
from apo_trainer.config import METHOD_NAMES

CONFIG_FILE = "config/staged_study.yaml"
SECTION = "staged_study"
END_OF_SEEDS = 900_000  # seeds from here on are of no measurement


@dataclass(frozen=True)
class StagedConfig:
    """Which candidates are made, what is recorded of each, and how often its trial is replayed."""

    trial: TrialLimits = group(TrialLimits)
    task: str = parameter(DEFAULT_TASK.name, "task of the simulation", choices=task_names())
    contract_file: str = parameter("config/contract.yaml", "the contract")
    trainer_file: str = parameter("config/trainer.yaml", "parameters of every training")
    compare_file: str = parameter("config/compare.yaml", "its `method_settings`: what each method's trainings change")
    good_method: str = parameter(
        "apo_plus", "of the good candidate, and of the one that trains on shuffled labels", choices=METHOD_NAMES
    )
    subtle_method: str = parameter("dpo", "of the candidate that is bad in a subtle way", choices=METHOD_NAMES)
    steps: int = parameter(0, "optimizer steps of each training; 0: those of its method", low=0, high=1_000_000)
    interactions: int = parameter(20, "episodes that the candidates train on", low=1, high=100_000)
    demonstrations: int = parameter(20, "demonstrations that they train on", low=1, high=100_000)
    episodes: int = parameter(100, "episodes of each policy that are recorded, one a seed", low=1, high=100_000)
    repetitions: int = parameter(20, "replayed trials of each candidate", low=1, high=100_000)
    interaction_seed: int = parameter(400_000, "of the first interaction", low=0, high=END_OF_SEEDS - 1)
    demonstration_seed: int = parameter(420_000, "of the first demonstration", low=0, high=END_OF_SEEDS - 1)
    seed: int = parameter(440_000, "of the first recorded episode of each policy", low=0, high=END_OF_SEEDS - 1)
    draw_seed: int = parameter(0, "of the draws of policies and seeds", low=0, high=2**31 - 1)
    workers: int = parameter(2, "simulations at a time", low=1, high=1024)

    def __post_init__(self) -> None:
        taken = {
            "interactions": range(self.interaction_seed, self.interaction_seed + self.interactions),
            "episodes": range(self.seed, self.seed + self.episodes),
        }
        faults = [
            f"{name} = {len(seeds)}: their seeds go to {seeds[-1]}, the last one allowed is {END_OF_SEEDS - 1}"
            for name, seeds in taken.items()
            if seeds.stop > END_OF_SEEDS
        ]
        both = set(taken["interactions"]).intersection(taken["episodes"])
        if both:
            faults.append(
                f"seed = {self.seed}: {len(both)} of the recorded seeds are trained on, the first {min(both)}"
            )
        if faults:
            raise ConfigError("staged study", [f"{fault} ({CONFIG_FILE})" for fault in faults])

    @property
    def seeds(self) -> range:
        """Of the recorded episodes."""
        return range(self.seed, self.seed + self.episodes)
