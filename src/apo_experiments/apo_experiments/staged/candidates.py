"""The candidates of a study: three adapters that it trains, or those of a store."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError, ApoError
from apo_experiments.reproduce.config import ReproduceConfig
from apo_experiments.reproduce.study import Study
from apo_experiments.rollouts import Adapter
from apo_experiments.staged.config import StagedConfig
from apo_experiments.staged.shuffled import shuffle_labels
from apo_sim_bridge.perturbation.settings import Perturbation
from apo_trainer.runs.run import run

_MADE = "candidates.json"  # name -> version, of what is trained


@dataclass(frozen=True, slots=True)
class Candidate:
    """An adapter that is put on trial."""

    name: str  # in reports
    adapter: Adapter


def stored_candidates(store: Path, versions: Sequence[int]) -> list[Candidate]:
    """Adapters of a store.

    Args:
        store: its folder.
        versions: which; empty: all.

    Raises:
        AdapterError: the store lacks one, or has none at all.
    """
    adapters = AdapterStore(store)
    there = adapters.versions()
    missing = [number for number in versions if number not in there]
    if missing or not there:
        lacking = f"no adapter {', '.join(map(str, missing))}" if missing else "no adapter"
        raise AdapterError(f"{store}: has {lacking}; there are {there}")
    return [
        Candidate(f"adapter {number} ({adapters.manifest(number)['method']})", Adapter(str(store), number))
        for number in versions or there
    ]


def study_of(config: StagedConfig, output: Path) -> Study:
    """What makes data and trainings, as `apo reproduce` makes them."""
    methods = tuple(dict.fromkeys((config.good_method, config.subtle_method)))
    return Study(
        ReproduceConfig(
            tasks=(config.task,),
            methods=methods,
            contract_file=config.contract_file,
            trainer_file=config.trainer_file,
            compare_file=config.compare_file,
            workers=config.workers,
        ),
        output,
    )


def trained_candidates(
    config: StagedConfig, output: Path, study: Study, report: Callable[[str], None]
) -> list[Candidate]:
    """A good adapter, one of shuffled labels and one of a weaker method; what `output` has of them is kept.

    Args:
        config: numbers and methods.
        output: folder of data, trainings and the store `adapters`.
        study: of `study_of`.
        report: takes progress.

    Raises:
        ApoError: no data, a wrong setting, or a training that made no adapter.
    """
    data, shuffled, usual = output / "data", output / "data_shuffled", Perturbation()
    study.demonstrate(config.task, config.demonstrations, config.demonstration_seed, data / "demonstrations", usual)
    seeds = range(config.interaction_seed, config.interaction_seed + config.interactions)
    study.interact(config.task, seeds, data / "episodes", usual, None)
    for part in ("demonstrations", "episodes"):
        shuffle_labels(data / part, shuffled / part, config.draw_seed)
    plans = {
        f"good ({config.good_method})": (config.good_method, data),
        f"shuffled labels ({config.good_method})": (config.good_method, shuffled),
        f"subtle ({config.subtle_method})": (config.subtle_method, data),
    }
    made, file, store = _read(output / _MADE), output / _MADE, output / "adapters"
    for number, (name, (method, folder)) in enumerate(plans.items(), start=1):
        if name not in made:
            made[name] = _train(config, study, method, folder, output / "training" / str(number), store, report)
            file.write_text(json.dumps(made, indent=1) + "\n")
    return [Candidate(name, Adapter(str(store), made[name])) for name in plans]


def _train(
    config: StagedConfig,
    study: Study,
    method: str,
    data: Path,
    folder: Path,
    store: Path,
    report: Callable[[str], None],
) -> int:
    """Number of the adapter, which is published whatever the gate finds."""
    changes = {"episode_dir": str(data / "episodes"), "expert_dir": str(data / "demonstrations")}
    comparison = study.comparison(config.task, Perturbation(), (method,))
    steps = {"steps": config.steps} if config.steps else {}
    trainer = study.trainers(comparison, {**changes, **steps})[method]
    training = replace(trainer.training, method=method, start_from="base", undesirable_of="all")
    made = replace(trainer, training=training, adapter_dir=str(store), promote=False)

    def progress(message: dict[str, Any]) -> None:
        if message["event"] == "progress":
            report(f"{folder.name}, {method}: step {message['step']}/{message['steps']}, {message['eta_s']:.0f} s left")

    result = run(made, 0, (), folder, f"{folder.name}_{method}", progress, lambda: False, gated=False)
    if result.version is None:
        raise ApoError(f"training of {method} on {data}: {result.message}")
    return result.version


def _read(file: Path) -> dict[str, int]:
    try:
        return {str(name): int(version) for name, version in json.loads(file.read_text()).items()}
    except FileNotFoundError:
        return {}
