"""State of the trainer, from the messages of its training program. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apo_trainer.states import TrainerState


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The fields of the message TrainerStatus."""

    state: TrainerState
    run_id: str = ""
    step: int = 0  # optimizer steps done
    steps: int = 0  # planned; 0 while that is not known
    loss: float = math.nan  # nats
    eta_s: float = math.nan  # to the end; NaN: unknown
    version: int = 0  # published; 0: none
    message: str = ""

    def summary(self) -> dict[str, str]:
        """Key and value, for people."""
        return {
            "state": self.state,
            "run_id": self.run_id,
            "step": f"{self.step}/{self.steps}",
            "loss": f"{self.loss:.4g}",
            "eta_s": f"{self.eta_s:.0f}",
            "message": self.message,
        }


def of_start(run_id: str, start: Mapping[str, Any]) -> RunStatus:
    """The status after the `start` event of the program: what it trains on is loaded."""
    return RunStatus(TrainerState.RUNNING, run_id, steps=start["steps"], message="training")


def of_progress(run_id: str, progress: Mapping[str, Any]) -> RunStatus:
    """The status after a `progress` event of the program."""
    step, steps = progress["step"], progress["steps"]
    message = "training" if step < steps else "judging"
    return RunStatus(TrainerState.RUNNING, run_id, step, steps, progress["loss"], progress["eta_s"], message=message)


def of_result(run_id: str, result: Mapping[str, Any], done: int, planned: int) -> RunStatus:
    """The status after the `result` event, with which the program ends; `done` steps were reported before it."""
    return RunStatus(
        state=TrainerState.after(result["state"]),
        run_id=run_id,
        step=max(done, result["steps"]),
        steps=result.get("planned_steps") or planned,
        loss=(result.get("metrics") or {}).get("loss", math.nan),
        eta_s=0.0,
        version=result["version"] or 0,
        message=result["message"],
    )
