"""Metrics of one optimizer step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from torch import Tensor

from apo_trainer.data.samples import SampleClass
from apo_trainer.losses import LossOutput
from apo_trainer.methods import Terms


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """One optimizer step. A class that the batch lacks has None."""

    step: int  # 1..steps
    loss: float
    z0: float  # nats
    learning_rate: float
    grad_norm: float  # before clipping
    log_ratio: Mapping[str, float | None]  # mean by class, nats
    weight: Mapping[str, float | None]  # mean lambda by class
    l1: Mapping[str, float | None]  # mean error of the likeliest bins by class, normalised action units
    edge_share: Mapping[str, float | None]  # mean share by class of likeliest bins at an edge of the range
    samples: Mapping[str, list[float]]  # a number a row: its loss up to a constant, weight and log-ratio

    def as_dict(self) -> dict:
        """Plain data, without `samples`."""
        return {name: value for name, value in asdict(self).items() if name != "samples"}


def step_metrics(step: int, rate: float, grad_norm: Tensor, terms: Terms, out: LossOutput) -> StepMetrics:
    """Metrics of step number `step` (from 0) of learning rate `rate`."""
    return StepMetrics(
        step=step + 1,
        loss=out.loss.item(),
        z0=out.z0.item(),
        learning_rate=rate,
        grad_norm=grad_norm.item(),
        log_ratio=_by_class(terms.classes, out.log_ratios),
        weight=_by_class(terms.classes, out.weights),
        l1=_by_class(terms.classes, terms.l1),
        edge_share=_by_class(terms.classes, terms.edges),
        samples={
            "loss": (-out.values).tolist(),
            "weight": out.weights.tolist(),
            "log_ratio": out.log_ratios.tolist(),
        },
    )


def _by_class(classes: Sequence[SampleClass], values: Tensor) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for name in SampleClass:
        chosen = values[[i for i, own in enumerate(classes) if own is name]]
        means[str(name)] = chosen.mean().item() if chosen.numel() else None
    return means
