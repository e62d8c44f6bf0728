"""Parameters of `apo compare`, read from config/compare.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from apo_core.config.parameters import group, parameter, parameter_fields
from apo_core.config.rcl_yaml import parse_yaml
from apo_core.errors import ConfigError, EpisodeFormatError
from apo_core.system.shipped_files import shipped
from apo_episodes.reader import read_episode
from apo_experiments.config import CONFIG_FILE, MAX_SEED, EvaluationConfig
from apo_trainer.config import METHOD_NAMES, TrainerConfig, read_config
from apo_trainer.data.episode_files import is_trained_on

BASE = "base"  # row of the policy that the methods train from
# one for all methods: where they differed, the rows would not be of one comparison
SHARED = (
    "method",
    "start_from",
    "reference",
    "episode_dir",
    "expert_dir",
    "adapter_dir",
    "checkpoint_dir",
    "run_dir",
    "seed",
)
_SETTABLE = tuple(name for name in parameter_fields(TrainerConfig) if name not in SHARED)


@dataclass(frozen=True)
class CompareConfig:
    """What is compared, and how it is measured; how each method trains is the trainer's file and `method_settings`."""

    methods: tuple[str, ...] = parameter(
        ("apo", "apo_plus", "apo_reference_compat", "kto", "dpo", "tpo", "dagger", "sirius", "bc"),
        "methods beside the base policy",
    )
    trainer_file: str = parameter("config/trainer.yaml", "parameters of every training; `method` is replaced")
    method_settings: tuple[str, ...] = parameter(
        (), "`<method> NAME=VALUE [NAME=VALUE ...]`: what that method's trainings have in place of the trainer's file"
    )
    training_seeds: int = parameter(
        1, "trainings of each method, with the trainer's seed and those after it", low=1, high=100
    )
    against: str = parameter("apo_plus", "method that each row is paired with in a test; empty: none")
    until_decided: float = parameter(
        0.0,
        "a method's evaluation ends once it is better or worse than the base policy with this probability of a mistake "
        "at most; 0: after all episodes",
        low=0.0,
        high=0.5,
    )
    evaluation: EvaluationConfig = group(EvaluationConfig)

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in METHOD_NAMES]
        faults = [f"methods: {name!r} is none of {', '.join(METHOD_NAMES)} ({CONFIG_FILE})" for name in unknown]
        if len(set(self.methods)) < len(self.methods):
            faults.append(f"methods = {list(self.methods)} names one twice ({CONFIG_FILE})")
        if self.against and self.against not in self.methods:
            faults.append(
                f"against = {self.against!r} is none of methods = {list(self.methods)}; empty, no row is paired "
                f"({CONFIG_FILE})"
            )
        try:
            parse_settings(self.method_settings)
        except ConfigError as error:
            faults += error.faults
        if faults:
            raise ConfigError("compare", faults)

    def with_methods(self, methods: Sequence[str]) -> CompareConfig:
        """The same of other methods; `against` is empty where it is none of them.

        Raises:
            ConfigError: one is unknown or named twice.
        """
        return replace(self, methods=tuple(methods), against=self.against if self.against in methods else "")


def parse_settings(entries: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Method -> parameter -> value, of `<method> NAME=VALUE [NAME=VALUE ...]` texts; values in YAML, without blanks.

    Raises:
        ConfigError: every fault but a value that the trainer rejects, for which see `trainer_configs`.
    """
    settings: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    for entry in entries:
        method, *pairs = entry.split() or [""]
        if method not in METHOD_NAMES:
            faults.append(f"{method!r} is none of {', '.join(METHOD_NAMES)}")
        elif method in settings:
            faults.append(f"{entry!r} is the second text of {method}; write one a method")
        elif not pairs:
            faults.append(f"{entry!r} has no NAME=VALUE")
        settings[method] = {}
        for pair in pairs:
            try:
                settings[method].update(_parse_pair(pair, settings[method]))
            except ValueError as error:
                faults.append(f"{method}: {pair!r} {error}")
    if faults:
        raise ConfigError("compare", [f"method_settings: {fault} ({CONFIG_FILE})" for fault in faults])
    return settings


def _parse_pair(pair: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> value of a NAME=VALUE. Raises ValueError, also for a name in `known`."""
    name, separator, text = pair.partition("=")
    if not separator:
        raise ValueError("must be NAME=VALUE")
    if name in SHARED:
        raise ValueError(f"must be the same for all methods, as must {', '.join(SHARED)}")
    if name not in _SETTABLE:
        raise ValueError(f"names no parameter of the trainer; known: {', '.join(_SETTABLE)}")
    if name in known:
        raise ValueError(f"gives {name} a second time")
    try:
        return {name: parse_yaml(text)}
    except yaml.YAMLError as error:
        raise ValueError(f"has a value that is not YAML: {error}") from None


def trainer_configs(config: CompareConfig, typed: Mapping[str, Any]) -> dict[str, TrainerConfig]:
    """What each method trains with: the trainer's file, replaced by the method's settings, replaced by `typed`.

    Returns:
        Method -> parameters; under `BASE` those without a method's settings.

    Raises:
        ConfigError: every fault of the file and `typed`, or else of the settings.
    """
    trainer_file = shipped(config.trainer_file)
    trainers, faults = {BASE: read_config(trainer_file, dict(typed))}, []
    settings = parse_settings(config.method_settings)
    for method in config.methods:
        try:
            trainers[method] = read_config(trainer_file, {**settings.get(method, {}), **typed})
        except ConfigError as error:
            faults += [f"method_settings: {method}: {fault} ({CONFIG_FILE})" for fault in error.faults]
    last = trainers[BASE].training.seed + config.training_seeds - 1
    if last > MAX_SEED:
        faults.append(
            f"training_seeds = {config.training_seeds}: seed = {last} of the last training is above its limit "
            f"{MAX_SEED} ({CONFIG_FILE}, {config.trainer_file})"
        )
    if faults:
        raise ConfigError("compare", faults)
    return trainers


def check_episodes(paths: Sequence[Path], task: str, seeds: range) -> None:
    """Raises ConfigError when an episode to train on is of another task, or has an evaluation seed.

    Unreadable files are skipped, and episodes that name no task are of any.
    """
    used, others = set(), []
    for path in paths:
        try:
            info = read_episode(path, images=False).info
        except EpisodeFormatError:
            continue  # training rejects it, with the reason
        if is_trained_on(info):
            used.add(info.seed)
            if info.task not in ("", task):
                others.append(f"{path.name} ({info.task})")
    if others:
        fault = f"task = {task!r}: {len(others)} episodes to train on are of another task, the first {others[0]}"
        raise ConfigError("compare", [f"{fault} ({CONFIG_FILE})"])
    both = sorted(used.intersection(seeds))
    if both:
        raise ConfigError(
            "compare",
            [
                f"evaluation_seed = {seeds.start}: {len(both)} episodes to train on have an evaluation seed, the first "
                f"{both[0]}; choose other seeds ({CONFIG_FILE})"
            ],
        )
