"""What came of the replayed trials of each candidate, as numbers, a table and JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from apo_core.adapters.trial import TrialLimits
from apo_core.wilson import wilson_interval
from apo_experiments.reproduce.tables import Table
from apo_experiments.staged.replay import Ending, Replayed, is_unaided

if TYPE_CHECKING:
    from apo_experiments.loop.simulated_loop import TrialFacts

_HEAD = (
    *("candidate", "unaided (95 %)", "beside base", "promoted", "rolled back: worse", "by takeovers", "undecided"),
    *("episodes, median (range)", "false promotions (95 %)", "false rollbacks (95 %)", "operator, median a trial"),
)


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """A candidate, and its trials beside the base policy."""

    name: str
    episodes: tuple[TrialFacts, ...]  # a seed each
    base: tuple[TrialFacts, ...]  # of the same seeds
    trials: tuple[Replayed, ...]
    adapter: int = 0  # version in its store; 0: the base policy itself

    @property
    def gain(self) -> int:
        """Seeds on which it succeeds unaided, minus those of the base policy: which of the two is better."""
        return _unaided(self.episodes) - _unaided(self.base)

    def count(self, ending: Ending) -> int:
        """Trials that ended so."""
        return sum(trial.ending is ending for trial in self.trials)

    @property
    def false_promotions(self) -> int | None:
        """Of a candidate that is not better; None: it is."""
        return None if self.gain > 0 else self.count(Ending.PROMOTED)

    @property
    def false_rollbacks(self) -> int | None:
        """By evidence, of a candidate that is not worse; None: it is. Those by takeovers protect the operator."""
        return None if self.gain < 0 else self.count(Ending.WORSE)

    def as_dict(self, period_s: float) -> dict[str, Any]:
        """JSON-serialisable."""
        return {
            "name": self.name,
            "adapter": self.adapter,
            "seeds": len(self.episodes),
            "unaided": _unaided(self.episodes),
            "ci95": list(wilson_interval(_unaided(self.episodes), len(self.episodes))),
            "gain": self.gain,
            "endings": {str(ending): self.count(ending) for ending in Ending},
            "false_promotions": _wrong(self.false_promotions, len(self.trials)),
            "false_rollbacks": _wrong(self.false_rollbacks, len(self.trials)),
            "trials": [
                {
                    "ending": str(trial.ending),
                    "episodes": trial.episodes,
                    "watched_s": round(trial.steps * period_s, 3),
                    "driven_s": round(trial.human_steps * period_s, 3),
                }
                for trial in self.trials
            ],
        }


def table(results: Sequence[CandidateResult], limits: TrialLimits, period_s: float) -> Table:
    """A row a candidate.

    Args:
        results: at least one.
        limits: of the trials.
        period_s: of a control step.
    """
    base = results[0].base
    notes = (
        f"Base policy: {_rate(_unaided(base), len(base))} of {len(base)} seeds unaided. "
        f"{len(results[0].trials)} trials a candidate, at most {limits.trial_episodes} episodes each.",
        f"trial_alpha limits false promotions and false rollbacks to {limits.trial_alpha:.1%} of the trials each. "
        "A rollback by takeovers, which protects the operator, is not one of them.",
    )
    return Table("Staged promotion", _HEAD, tuple(_row(each, period_s) for each in results), notes)


def report(results: Sequence[CandidateResult], limits: TrialLimits, period_s: float) -> dict[str, Any]:
    """JSON-serialisable; arguments as of `table`."""
    base = results[0].base
    return {
        "limits": asdict(limits),
        "base": {
            "seeds": len(base),
            "unaided": _unaided(base),
            "ci95": list(wilson_interval(_unaided(base), len(base))),
        },
        "candidates": [each.as_dict(period_s) for each in results],
    }


def _row(result: CandidateResult, period_s: float) -> tuple[str, ...]:
    trials, n = result.trials, len(result.trials)
    lengths = [trial.episodes for trial in trials]
    watched, driven = (
        median(getattr(trial, field) for trial in trials) * period_s for field in ("steps", "human_steps")
    )
    return (
        result.name,
        _rate(_unaided(result.episodes), len(result.episodes)),
        f"{100 * result.gain / len(result.base):+.0f} points",
        *(str(result.count(ending)) for ending in Ending),
        f"{median(lengths):g} ({min(lengths)} .. {max(lengths)})",
        *("" if wrong is None else f"{wrong} of {n}: {_rate(wrong, n)}" for wrong in _wrongs(result)),
        f"{watched:.0f} s watched, {driven:.0f} s driven",
    )


def _wrongs(result: CandidateResult) -> tuple[int | None, int | None]:
    return result.false_promotions, result.false_rollbacks


def _wrong(count: int | None, n: int) -> dict[str, Any] | None:
    return None if count is None else {"count": count, "n": n, "ci95": list(wilson_interval(count, n))}


def _unaided(episodes: Sequence[TrialFacts]) -> int:
    return sum(map(is_unaided, episodes))


def _rate(count: int, n: int) -> str:
    low, high = wilson_interval(count, n)
    return f"{count / n:.0%} ({low:.0%} .. {high:.0%})"
