"""What came of each method of a comparison, pooled over its trainings, and how two differ on the same seeds. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from scipy.stats import binomtest

from apo_core.evidence import Evidence, paired_evidence
from apo_core.wilson import wilson_interval
from apo_trainer.runs.result import RunResult
from apo_trainer.states import RunState


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """One training and its measurement; the base policy has a measurement alone."""

    outcomes: tuple[tuple[int, bool], ...]  # (seed, success) of every evaluation episode
    seed: int | None = None  # of the training; None: the base policy
    desirable: float | None = None  # held-out log-ratio of expert and human steps, nats
    undesirable: float | None = None  # held-out log-ratio of undesirable steps, nats
    l1: float | None = None  # held-out error, normalised action units
    objections: tuple[str, ...] | None = None  # of the gate; None: not judged
    train_seconds: float | None = None
    steps: int = 0  # optimizer steps done
    notes: tuple[str, ...] = ()  # what the data lacked
    failure: str = ""  # why there is no policy to measure
    adapter: int | None = None  # version in the training's store

    @property
    def n(self) -> int:
        return len(self.outcomes)

    @property
    def successes(self) -> int:
        return sum(success for _, success in self.outcomes)

    @property
    def rate(self) -> float | None:
        """Share of successes; None without episodes."""
        return self.successes / self.n if self.n else None

    @classmethod
    def from_run(cls, seed: int, result: RunResult) -> TrainingResult:
        """The result of a training run, without outcomes."""
        verdict = result.verdict.as_dict() if result.verdict else None
        values = verdict["values"] if verdict else {}
        return cls(
            outcomes=(),
            seed=seed,
            desirable=values.get("held_out_desirable_log_ratio"),
            undesirable=values.get("held_out_undesirable_log_ratio"),
            l1=values.get("held_out_l1"),
            objections=tuple(verdict["reasons"]) if verdict else None,
            train_seconds=result.train_seconds,
            steps=result.steps,
            notes=result.notes,
            failure="" if result.state == RunState.PUBLISHED else result.message,
            adapter=result.version,
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {**asdict(self), "n": self.n, "successes": self.successes, "rate": self.rate}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TrainingResult:
        """The reverse of `as_dict`; other names are ignored."""
        values = {name: data[name] for name in cls.__slots__}
        values["outcomes"] = tuple((int(seed), bool(success)) for seed, success in values["outcomes"])
        values["objections"] = None if values["objections"] is None else tuple(values["objections"])
        return cls(**{**values, "notes": tuple(values["notes"])})


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One row: rates are pooled over the trainings of a method, other numbers are means over them."""

    method: str
    trainings: tuple[TrainingResult, ...]  # a seed each

    @property
    def n(self) -> int:
        """Evaluation episodes of all trainings."""
        return sum(training.n for training in self.trainings)

    @property
    def successes(self) -> int:
        return sum(training.successes for training in self.trainings)

    @property
    def rate(self) -> float | None:
        """Share of successes; None without episodes."""
        return self.successes / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson score interval of the pooled rate; the spread between trainings is not in it."""
        return wilson_interval(self.successes, self.n)

    @property
    def desirable(self) -> float | None:
        return _mean(training.desirable for training in self.trainings)

    @property
    def undesirable(self) -> float | None:
        return _mean(training.undesirable for training in self.trainings)

    @property
    def l1(self) -> float | None:
        return _mean(training.l1 for training in self.trainings)

    @property
    def train_seconds(self) -> float | None:
        return _mean(training.train_seconds for training in self.trainings)

    @property
    def steps(self) -> float | None:
        """Mean over the trainings that went to their end."""
        return _mean(training.steps for training in self.trainings if training.train_seconds is not None)

    @property
    def failure(self) -> str:
        """Why trainings have no policy to measure."""
        return "; ".join(f"{self.label(each)}: {each.failure}" for each in self.trainings if each.failure)

    def label(self, training: TrainingResult) -> str:
        """The method, with the seed where it was trained several times."""
        return self.method if len(self.trainings) < 2 else f"{self.method}, seed {training.seed}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        names = ("method", "n", "successes", "rate", "desirable", "undesirable", "l1", "steps", "train_seconds")
        row = {name: getattr(self, name) for name in (*names, "failure")}
        return {**row, "ci95": list(self.interval), "trainings": [each.as_dict() for each in self.trainings]}


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Outcomes of two rows on the same seeds."""

    pairs: int
    gained: int  # the row succeeded, the other failed
    lost: int  # the reverse

    @property
    def p(self) -> float:
        """Exact two-sided p-value of McNemar's test (Psychometrika 12, 1947, 153-157); 1 where no pair differs.

        The pairs of one training are not independent of each other: p is for these trainings and not for other
        seeds, so the rates of each training stand beside it.
        """
        differing = self.gained + self.lost
        return float(binomtest(self.gained, differing).pvalue) if differing else 1.0

    @property
    def evidence(self) -> Evidence:
        """What the pairs show at any time of looking; as `p`, for these trainings."""
        return paired_evidence(self.gained, self.lost)

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {**asdict(self), "p": self.p, "log_e": asdict(self.evidence)}


def paired(row: MethodResult, other: MethodResult) -> PairedTest:
    """Pairs outcomes by training seed and evaluation seed; what only one row has does not count.

    The base policy, which has no training seed, is paired with every training.
    """
    tests = [
        paired_outcomes(training.outcomes, each.outcomes)
        for training in row.trainings
        for each in other.trainings
        if _is_pair(training, each)
    ]
    return PairedTest(*(sum(getattr(test, name) for test in tests) for name in ("pairs", "gained", "lost")))


def paired_outcomes(outcomes: Iterable[tuple[int, bool]], other: Iterable[tuple[int, bool]]) -> PairedTest:
    """Pairs (seed, success) of two policies by seed; what only one of them has does not count."""
    known = dict(other)
    gains = [success - known[seed] for seed, success in outcomes if seed in known]
    return PairedTest(len(gains), gains.count(1), gains.count(-1))


def _is_pair(one: TrainingResult, other: TrainingResult) -> bool:
    return None in (one.seed, other.seed) or one.seed == other.seed


def _mean(values: Iterable[float | None]) -> float | None:
    """Of the values that are there; None where there are none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
