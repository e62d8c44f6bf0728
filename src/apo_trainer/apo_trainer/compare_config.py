"""Parameters of `apo compare`, read from config/compare.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apo_core.config import parameter
from apo_core.episode_file import read_episode
from apo_core.errors import ConfigError, EpisodeFormatError
from apo_trainer.config import METHOD_NAMES
from apo_trainer.dataset import is_trained_on

CONFIG_FILE = "config/compare.yaml"


@dataclass(frozen=True)
class CompareConfig:
    """What is compared, and how it is measured; how each method trains is the trainer's file."""

    methods: tuple[str, ...] = parameter(
        ("apo", "apo_plus", "apo_reference_compat", "kto", "dpo", "tpo", "dagger", "sirius", "bc"),
        "methods beside the base policy",
    )
    trainer_file: str = parameter("config/trainer.yaml", "parameters of every training; `method` is replaced")
    task: str = parameter("Lift", "task of the simulation")
    contract_file: str = parameter("config/contract.yaml", "the contract")
    evaluation_episodes: int = parameter(100, "episodes for the base policy and for each method", low=1, high=100_000)
    evaluation_seed: int = parameter(50_000, "seed of the first evaluation episode", low=0, high=2**31 - 1)
    horizon: int = parameter(100, "steps of an evaluation episode", low=1, high=100_000)
    success_hold_steps: int = parameter(5, "consecutive steps that must show success", low=1, high=1000)
    workers: int = parameter(2, "simulations at a time", low=1, high=1024)

    def __post_init__(self):
        unknown = [name for name in self.methods if name not in METHOD_NAMES]
        faults = [f"methods: {name!r} is none of {', '.join(METHOD_NAMES)} ({CONFIG_FILE})" for name in unknown]
        if len(set(self.methods)) < len(self.methods):
            faults.append(f"methods = {list(self.methods)} names one twice ({CONFIG_FILE})")
        if faults:
            raise ConfigError("compare", faults)

    @property
    def seeds(self) -> range:
        return range(self.evaluation_seed, self.evaluation_seed + self.evaluation_episodes)


def check_seeds(paths: Sequence[Path], seeds: range) -> None:
    """Raises ConfigError when an episode to train on has an evaluation seed. Unreadable files are skipped."""
    used = set()
    for path in paths:
        try:
            info = read_episode(path, images=False).info
        except EpisodeFormatError:
            continue  # training sets it aside, with the reason
        if is_trained_on(info):
            used.add(info.seed)
    both = sorted(used.intersection(seeds))
    if both:
        raise ConfigError(
            "compare",
            [
                f"evaluation_seed = {seeds.start}: {len(both)} episodes to train on have an evaluation seed, the first "
                f"{both[0]}; choose other seeds ({CONFIG_FILE})"
            ],
        )
