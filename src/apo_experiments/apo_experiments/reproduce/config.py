"""Parameters of `apo reproduce` (config/reproduce_small.yaml, config/reproduce_paper.yaml)."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.config.parameters import parameter
from apo_core.errors import ConfigError
from apo_core.tasks.specs import DEFAULT_TASK, TASKS
from apo_experiments.config import MAX_SEED
from apo_trainer.config import METHOD_NAMES

SECTION = "reproduce"
BUDGETS = ("small", "paper")


def config_file(budget: str) -> str:
    """File of a budget."""
    return f"config/reproduce_{budget}.yaml"


@dataclass(frozen=True)
class ReproduceConfig:
    """What is collected, trained and measured. How each method trains is in `compare_file`."""

    tasks: tuple[str, ...] = parameter((DEFAULT_TASK.name,), f"tasks, of {', '.join(TASKS)}")
    methods: tuple[str, ...] = parameter(
        ("dagger", "sirius", "dpo", "tpo", "kto", "apo", "apo_plus"), "methods beside the base policy"
    )
    checkpoint: str = parameter("", "base policy in place of `models/<task>_base`, with a single task")
    contract_file: str = parameter("config/contract.yaml", "the contract")
    trainer_file: str = parameter("config/trainer.yaml", "parameters of every training")
    compare_file: str = parameter("config/compare.yaml", "its `method_settings`: what each method's trainings change")
    interactions: int = parameter(20, "episodes of the base policy with the operator, a task", low=1, high=100_000)
    demonstrations: int = parameter(20, "demonstrations, a task", low=1, high=100_000)
    perturbed_interactions: int = parameter(20, "the same in a perturbed setting", low=1, high=100_000)
    perturbed_demonstrations: int = parameter(20, "the same in a perturbed setting", low=1, high=100_000)
    evaluation_episodes: int = parameter(50, "episodes that measure a policy", low=1, high=100_000)
    training_seeds: int = parameter(1, "trainings of each method", low=1, high=100)
    rounds: int = parameter(5, "lifelong: rounds of deployment and update", low=1, high=1000)
    rollouts: int = parameter(20, "lifelong: episodes with the operator a round", low=1, high=100_000)
    lifelong_methods: tuple[str, ...] = parameter(
        ("apo", "apo_plus", "dagger"), "lifelong: methods that update; beside them the base policy stays as it is"
    )
    lifelong_reference: str = parameter(
        "start",
        "lifelong: reference of an update, the policy of the round before or the base",
        choices=("start", "base"),
    )
    interaction_seed: int = parameter(300_000, "of the first interaction", low=0, high=MAX_SEED)
    demonstration_seed: int = parameter(320_000, "of the first demonstration", low=0, high=MAX_SEED)
    evaluation_seed: int = parameter(340_000, "of the first evaluation episode", low=0, high=MAX_SEED)
    lifelong_seed: int = parameter(360_000, "of the first episode of the first round", low=0, high=MAX_SEED)
    workers: int = parameter(2, "simulations at a time", low=1, high=1024)

    def __post_init__(self) -> None:
        faults = [f"tasks: {name!r} is none of {', '.join(TASKS)}" for name in self.tasks if name not in TASKS]
        for field in ("methods", "lifelong_methods"):
            unknown = [name for name in getattr(self, field) if name not in METHOD_NAMES]
            faults += [f"{field}: {name!r} is none of {', '.join(METHOD_NAMES)}" for name in unknown]
        for field in ("tasks", "methods", "lifelong_methods"):
            if len(set(getattr(self, field))) < len(getattr(self, field)) or not getattr(self, field):
                faults.append(f"{field} = {list(getattr(self, field))} must name at least one, each once")
        if self.checkpoint and len(self.tasks) > 1:
            faults.append(f"checkpoint = {self.checkpoint!r} is of one task, and tasks = {list(self.tasks)}")
        if faults:
            raise ConfigError("reproduce", [f"{fault} (config/reproduce_*.yaml)" for fault in faults])
