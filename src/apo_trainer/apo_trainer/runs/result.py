"""The result of a training run, as result.json holds it. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apo_trainer.data.report import DataReport
from apo_trainer.evaluation.gate import Verdict
from apo_trainer.states import RunState

Report = Callable[[dict[str, Any]], None]  # receives the messages of a run, each with an `event`


class Interrupted(Exception):
    """A stop of the run was requested."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How far a run got and how it ended; what its stages did not reach has its default."""

    run_id: str
    parent: int  # adapter that it trains from, 0: the base policy
    serving: int  # adapter that it is to replace
    method: str
    planned_steps: int  # 0: not known yet
    state: RunState = RunState.FAILED
    version: int | None = None  # published; None: nothing was
    message: str = ""
    steps: int = 0  # optimizer steps done
    seconds: float = 0.0
    verdict: Verdict | None = None  # of the gate
    metrics: Mapping[str, Any] = field(default_factory=dict)  # of the last optimizer step
    data: DataReport | None = None
    notes: tuple[str, ...] = ()  # what data and machine lack
    processes: int | None = None
    batch: Mapping[str, int] | None = None  # rows of a batch by the name of what they are drawn from
    train_seconds: float | None = None  # of the optimizer steps

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable; `processes`, `batch` and `train_seconds` only where they are known."""
        optional = {"processes": self.processes, "batch": self.batch, "train_seconds": self.train_seconds}
        return {
            "run_id": self.run_id,
            "state": self.state,
            "version": self.version,
            "parent": self.parent,
            "serving": self.serving,
            "method": self.method,
            "message": self.message,
            "steps": self.steps,
            "planned_steps": self.planned_steps,
            "seconds": self.seconds,
            "verdict": self.verdict.as_dict() if self.verdict else None,
            "metrics": self.metrics,
            "data": self.data.as_dict() if self.data else {},
            "notes": list(self.notes),
            **{name: value for name, value in optional.items() if value is not None},
        }
