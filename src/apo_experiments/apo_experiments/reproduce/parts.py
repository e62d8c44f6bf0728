"""The parts of a reproduction as jobs: table 1, perturbations, ablations, the lifelong loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from apo_core.config.parameters import build
from apo_core.errors import ApoError
from apo_core.tasks.specs import task_spec
from apo_experiments.compare.config import BASE
from apo_experiments.reproduce.config import ReproduceConfig
from apo_experiments.reproduce.jobs import Job
from apo_experiments.reproduce.study import Study
from apo_experiments.rollouts import Adapter
from apo_sim_bridge.perturbation.settings import Perturbation
from apo_trainer.runs.run import run

USUAL = Perturbation()
# name of a row -> what it changes of the trainings of `apo`; without adaptive weights it is `kto`
ABLATIONS: dict[str, Mapping[str, Any]] = {
    "K = 5": {"undesirable_steps": 5},
    "K = 20": {"undesirable_steps": 20},
    "batch: 25 % expert, 50 % human": {"share_expert": 0.25, "share_human": 0.5, "share_undesirable": 0.25},
    "batch: 25 % expert, 50 % undesirable": {"share_expert": 0.25, "share_human": 0.25, "share_undesirable": 0.5},
}


@dataclass(frozen=True, slots=True)
class Round:
    """A round of the lifelong loop: the deployment, then the update that it led to."""

    number: int
    episodes: int
    successes: int  # with the operator
    steps: int
    human_steps: int  # that the operator drove
    takeovers: int
    adapter: int | None  # made from all rounds so far; None: no update
    message: str  # of the training
    outcomes: list[tuple[int, bool]]  # of the policy alone after the update
    unaided: int | None = None  # successes without a takeover; None: of a round that did not count them
    serving: int = 0  # adapter of its episodes


class Table1:
    """Every method from the same episodes, on the same seeds."""

    name = "table1"

    def __init__(self, study: Study):
        self._study = study

    def jobs(self) -> Iterator[Job]:
        """Those of every task, in order."""
        study, config = self._study, self._study.config
        for task in config.tasks:
            folder = study.output / self.name / task_spec(task).folder
            seeds = range(config.interaction_seed, config.interaction_seed + config.interactions)
            yield from data_jobs(study, f"{self.name}/{task}", task, folder, seeds, config.demonstrations, USUAL)
            yield Job(
                f"{self.name}/{task}/compare",
                partial(self._compare, task, folder),
                task_spec(task).horizon,
                evaluated=config.evaluation_episodes * (1 + len(config.methods) * config.training_seeds),
                train_steps=_train_steps(study, task, config.methods),
            )

    def _compare(self, task: str, folder: Path) -> None:
        study = self._study
        study.compare(
            task, study.config.methods, folder / "results", folder / "episodes", folder / "demonstrations", USUAL, {}
        )


class Perturbed:
    """The methods in a new setting from a few episodes there, and what they have forgotten of the usual one."""

    name = "perturbations"

    def __init__(self, study: Study):
        self._study = study

    def jobs(self) -> Iterator[Job]:
        """Those of every task, in order."""
        study, config = self._study, self._study.config
        for task in config.tasks:
            folder, setting = study.output / self.name / task_spec(task).folder, perturbation_of(task)
            seeds = range(config.interaction_seed, config.interaction_seed + config.perturbed_interactions)
            name = f"{self.name}/{task}"
            yield from data_jobs(study, name, task, folder, seeds, config.perturbed_demonstrations, setting)
            rows = len(config.methods) * config.training_seeds
            yield Job(
                f"{name}/compare",
                partial(self._compare, task, folder, setting),
                task_spec(task).horizon,
                evaluated=config.evaluation_episodes * (1 + rows),
                train_steps=_train_steps(study, task, config.methods),
            )
            yield Job(
                f"{name}/original",
                partial(self._measure_original, task, folder),
                task_spec(task).horizon,
                evaluated=config.evaluation_episodes * (1 + rows),
            )

    def _compare(self, task: str, folder: Path, setting: Perturbation) -> None:
        study = self._study
        study.compare(
            task, study.config.methods, folder / "results", folder / "episodes", folder / "demonstrations", setting, {}
        )

    def _measure_original(self, task: str, folder: Path) -> None:
        """The same adapters in the usual setting."""
        study, found = self._study, {}
        results = json.loads((folder / "results" / "compare.json").read_text())["results"]
        for row in results:
            for training in row["trainings"]:
                label = BASE if row["method"] == BASE else f"{row['method']}_seed_{training['seed']}"
                store = folder / "results" / row["method"] / f"seed_{training['seed']}" / "adapters"
                adapter = None if row["method"] == BASE else Adapter(str(store), training["adapter"] or 0)
                if adapter is None or adapter.version:
                    found[label] = study.measure(task, folder / "original" / f"{label}.json", adapter, USUAL)
        (folder / "original.json").write_text(json.dumps(found) + "\n")


class Ablations:
    """`apo` with one thing changed, from the episodes of table 1; with the other reference, in the lifelong loop."""

    name = "ablation"

    def __init__(self, study: Study):
        self._study = study

    def jobs(self) -> Iterator[Job]:
        """Those of every task, in order; the data and the unchanged rows are those of table 1."""
        study, config = self._study, self._study.config
        yield from Table1(study).jobs()
        for task in config.tasks:
            for number, (row, changes) in enumerate(ABLATIONS.items(), start=1):
                yield Job(
                    f"{self.name}/{task}/{row}",
                    partial(self._compare, task, number, changes),
                    task_spec(task).horizon,
                    evaluated=config.evaluation_episodes * config.training_seeds,
                    train_steps=_train_steps(study, task, ("apo",)),
                )
        yield from Lifelong(study, ablated_updates(config)).jobs()

    def _compare(self, task: str, number: int, changes: Mapping[str, Any]) -> None:
        study, folder = self._study, task_spec(task).folder
        data, made = study.output / Table1.name / folder, study.output / self.name / folder / str(number)
        base = Path(BASE) / "evaluation.json"
        (made / base).parent.mkdir(parents=True, exist_ok=True)
        (made / base).write_text((data / "results" / base).read_text())  # measured once
        study.compare(task, ("apo",), made, data / "episodes", data / "demonstrations", USUAL, changes)


@dataclass(frozen=True, slots=True)
class Update:
    """What happens to the policy after each round."""

    row: str  # of the report
    method: str = ""  # "": nothing
    reference: str = ""  # of the training, see `lifelong_reference`

    @property
    def folder(self) -> str:
        """Name of its folder: rounds of another reference are others."""
        return f"{self.method}_{self.reference}" if self.method else BASE


class Lifelong:
    """Rounds of deployment and update, beside a policy that stays as it is.

    Args:
        study: settings and folders.
        updates: rows of its table; None: those of the settings.
    """

    name = "lifelong"

    def __init__(self, study: Study, updates: tuple[Update, ...] | None = None):
        self._study = study
        self._updates = usual_updates(study.config) if updates is None else updates

    def jobs(self) -> Iterator[Job]:
        """Those of every task, in order."""
        study, config = self._study, self._study.config
        for task in config.tasks:
            folder, horizon = study.output / self.name / task_spec(task).folder, task_spec(task).horizon
            yield Job(
                f"{self.name}/{task}/demonstrations",
                partial(_demonstrate, study, task, folder, config.demonstrations, USUAL),
                horizon,
                demonstrated=config.demonstrations,
            )
            for update in self._updates:
                method = update.method
                for number in range(1, config.rounds + 1):
                    yield Job(
                        f"{self.name}/{task}/{update.row}, round {number}",
                        partial(self._round, task, update, number),
                        horizon,
                        recorded=config.rollouts,
                        evaluated=config.evaluation_episodes if method else 0,
                        train_steps=_train_steps(study, task, (method,)) if method else 0,
                    )

    def _round(self, task: str, update: Update, number: int) -> None:
        study, config, method = self._study, self._study.config, update.method
        folder = study.output / self.name / task_spec(task).folder / update.folder
        file = folder / f"round_{number}.json"
        if file.exists():
            return
        before = read_round(folder / f"round_{number - 1}.json") if number > 1 else None
        store = str(folder / "adapters")
        serving = (before.adapter or 0) if before is not None else 0
        first = config.lifelong_seed + (number - 1) * config.rollouts
        facts = study.interact(
            task,
            range(first, first + config.rollouts),
            folder / "episodes",
            USUAL,
            Adapter(store, serving) if serving else None,
        )
        adapter, message = (None, "") if not method else self._train(task, update, folder, number, serving)
        done = adapter or serving
        outcomes = []
        if method:
            outcomes = study.measure(
                task, folder / f"alone_{number}.json", Adapter(store, done) if done else None, USUAL
            )
        made = Round(
            number,
            len(facts),
            sum(fact.success for fact in facts),
            sum(fact.steps for fact in facts),
            sum(fact.human_steps for fact in facts),
            sum(fact.takeovers for fact in facts),
            adapter if method else None,
            message,
            outcomes,
            sum(fact.success and not fact.takeovers for fact in facts),
            serving,
        )
        file.write_text(json.dumps(asdict(made)) + "\n")

    def _train(self, task: str, update: Update, folder: Path, number: int, serving: int) -> tuple[int | None, str]:
        """Trains from the policy of the round before on everything so far; the new adapter, and how it went."""
        study, method = self._study, update.method
        comparison = study.comparison(task, USUAL, (method,))
        trainer = study.trainers(
            comparison,
            {
                "episode_dir": str(folder / "episodes"),
                "expert_dir": str(folder.parent / "demonstrations"),
            },
        )[method]
        training = replace(
            trainer.training,
            method=method,
            start_from="serving",
            reference=update.reference,
            undesirable_of="all",
        )
        made = replace(trainer, training=training, adapter_dir=str(folder / "adapters"))
        run_dir = folder / "training" / f"round_{number}"
        result = run(made, serving, (), run_dir, f"round_{number}", _silent, lambda: False, gated=False)
        if result.version is None and serving == 0 and number == 1:
            raise ApoError(f"{method}, round 1: {result.message}")
        return result.version, result.message


def usual_updates(config: ReproduceConfig) -> tuple[Update, ...]:
    """The rows of the lifelong table."""
    return Update(BASE), *(Update(name, name, config.lifelong_reference) for name in config.lifelong_methods)


def ablated_updates(config: ReproduceConfig) -> tuple[Update, ...]:
    """`apo` as in the lifelong table, and with the reference that `lifelong_reference` does not name."""
    usual = config.lifelong_reference
    other = "base" if usual == "start" else "start"
    return Update("apo", "apo", usual), Update(f"apo, reference {other}", "apo", other)


def read_round(file: Path) -> Round:
    """A round's file."""
    values = json.loads(file.read_text())
    values["outcomes"] = [(int(seed), bool(success)) for seed, success in values["outcomes"]]
    return Round(**values)


def perturbation_of(task: str) -> Perturbation:
    """The new setting of a task."""
    return build(Perturbation, dict(task_spec(task).perturbed), "the table of tasks")


def data_jobs(
    study: Study, name: str, task: str, folder: Path, seeds: range, demonstrations: int, setting: Perturbation
) -> Iterator[Job]:
    """Demonstrations and interactions, into `demonstrations` and `episodes` of a folder."""
    horizon = task_spec(task).horizon
    yield Job(
        f"{name}/demonstrations",
        partial(_demonstrate, study, task, folder, demonstrations, setting),
        horizon,
        demonstrated=demonstrations,
    )
    yield Job(
        f"{name}/interactions", partial(_interact, study, task, folder, seeds, setting), horizon, recorded=len(seeds)
    )


def _demonstrate(study: Study, task: str, folder: Path, count: int, setting: Perturbation) -> None:
    study.demonstrate(task, count, study.config.demonstration_seed, folder / "demonstrations", setting)


def _interact(study: Study, task: str, folder: Path, seeds: range, setting: Perturbation) -> None:
    facts = study.interact(task, seeds, folder / "episodes", setting, None)
    (folder / "interactions.json").write_text(json.dumps([asdict(fact) for fact in facts]) + "\n")


def _train_steps(study: Study, task: str, methods: tuple[str, ...]) -> int:
    """Optimizer steps of all trainings of some methods; a number that follows from the data is not known yet."""
    trainers = study.trainers(study.comparison(task, USUAL, methods), {})
    return sum(trainers[name].training.steps for name in methods) * study.config.training_seeds


def _silent(message: dict[str, Any]) -> None:
    """Nobody reads the progress of these short trainings."""


PARTS: dict[str, Callable[[Study], Any]] = {part.name: part for part in (Table1, Perturbed, Ablations, Lifelong)}
