"""The gate: whether a trained adapter may be published, judged on samples that were never trained on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apo_trainer.config import TrainingConfig
from apo_trainer.dataset import SampleClass
from apo_trainer.methods import METHODS

# what the policy shall do, and so what its error is measured on
GOALS = (SampleClass.EXPERT, SampleClass.HUMAN)


@dataclass(frozen=True, slots=True)
class ClassMeans:
    """Means over the held-out samples of one class."""

    samples: int
    log_ratio: float  # nats, log pi_theta(a|o) - log pi_ref(a|o)
    l1: float  # normalised action units, adapter
    ref_l1: float  # the same of the reference


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's decision with its causes."""

    accepted: bool
    reasons: tuple[str, ...]  # why not; empty when accepted
    notes: tuple[str, ...]  # what could not be judged
    values: Mapping[str, float]

    def as_dict(self) -> dict:
        return {
            "accepted": self.accepted,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "values": dict(self.values),
        }


def judge(means: Mapping[SampleClass, ClassMeans], faults: Sequence[str], config: TrainingConfig) -> Verdict:
    """Decides about an adapter.

    Args:
        means: held-out means of every class that has samples.
        faults: of the adapter's tensors and of the self-test.
        config: the limits.
    """
    reasons, notes, values = list(faults), [], {}
    goals = [means[name] for name in GOALS if name in means]
    count = sum(part.samples for part in goals)
    if count == 0:
        notes.append("no demonstration or human step is held out: nothing to judge by")
        return Verdict(not reasons, tuple(reasons), tuple(notes), values)
    desirable = sum(part.log_ratio * part.samples for part in goals) / count
    values["held_out_desirable_log_ratio"] = desirable
    against, what = 0.0, "0"
    undesirable = means.get(SampleClass.UNDESIRABLE)
    if METHODS[config.method].uses_reference:
        if undesirable is None:
            notes.append("no undesirable step is held out: the desirable log-ratio is compared with 0")
        else:
            against, what = undesirable.log_ratio, "the undesirable one"
            values["held_out_undesirable_log_ratio"] = against
    values["held_out_margin"] = desirable - against
    if not desirable - against > config.gate_margin_nats:
        reasons.append(
            f"held-out desirable log-ratio {desirable:.3f} minus {what} ({against:.3f}) is not above "
            f"gate_margin_nats = {config.gate_margin_nats:g} (config/trainer.yaml)"
        )
    l1 = sum(part.l1 * part.samples for part in goals) / count
    ref_l1 = sum(part.ref_l1 * part.samples for part in goals) / count
    values["held_out_l1"], values["held_out_ref_l1"] = l1, ref_l1
    if not l1 <= ref_l1 * (1.0 + config.gate_l1_tolerance):
        reasons.append(
            f"held-out L1 error {l1:.4f} exceeds the reference's {ref_l1:.4f} by more than "
            f"gate_l1_tolerance = {config.gate_l1_tolerance:g} of it (config/trainer.yaml)"
        )
    return Verdict(not reasons, tuple(reasons), tuple(notes), values)
