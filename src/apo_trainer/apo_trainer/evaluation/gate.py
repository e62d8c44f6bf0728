"""The gate: whether a trained adapter may be published, by its results on held-out episodes. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apo_trainer.config import TrainingConfig
from apo_trainer.data.samples import SampleClass

# what the policy shall do, and so what its error is measured on
GOALS = (SampleClass.EXPERT, SampleClass.HUMAN)


# value of a verdict -> field of ClassMeans
_MEANS_OF = {
    "held_out_desirable_log_ratio": "log_ratio",
    "held_out_l1": "l1",
    "held_out_ref_l1": "ref_l1",
    "held_out_edge_share": "edges",
    "held_out_ref_edge_share": "ref_edges",
}
_MEANS_OF_SERVING = {"held_out_serving_l1": "serving_l1", "serving_desirable_log_ratio": "serving_log_ratio"}


@dataclass(frozen=True, slots=True)
class GateLimits:
    """What an adapter must reach; log-ratios are log pi_theta(a|o) - log pi_ref(a|o) in nats."""

    rise_nats: float  # mean of the desirable must be above
    fall_nats: float  # mean of the undesirable must be below minus this
    l1_tolerance: float  # mean error may exceed the reference's, and the serving adapter's, by this share of it
    edge_rise: float  # share of likeliest bins at an edge of the range may exceed the reference's by this
    own_success_nats: float  # mean of the policy's steps of unaided successes must not be below
    min_samples: int  # desirable samples that are needed to judge by
    undesirable_samples: int  # undesirable samples from which on they are judged: the mean of a few is noise
    with_undesirable: bool  # the method lowers the undesirable; one that imitates does not


@dataclass(frozen=True, slots=True)
class ClassMeans:
    """Means over the held-out samples of one class."""

    samples: int
    log_ratio: float  # nats, log pi_theta(a|o) - log pi_ref(a|o)
    l1: float  # error of the likeliest bins, normalised action units, adapter
    ref_l1: float  # the same of the reference
    edges: float = 0.0  # share of likeliest bins at an edge of the range, 0..1, adapter
    ref_edges: float = 0.0
    serving_l1: float | None = None  # of the adapter that serves; None where it is the reference or cannot be compared
    serving_log_ratio: float | None = None  # nats, log pi_theta(a|o) - log pi_serving(a|o)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's decision with its causes."""

    accepted: bool
    reasons: tuple[str, ...]  # why not; empty when accepted
    notes: tuple[str, ...]  # what could not be judged
    values: Mapping[str, float]  # what was judged

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data; a value that is not finite is null."""
        return {
            "accepted": self.accepted,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "values": {name: value if math.isfinite(value) else None for name, value in self.values.items()},
        }


def limits_of(config: TrainingConfig, with_undesirable: bool) -> GateLimits:
    """The gate of a configuration; `with_undesirable`: the method is meant to make undesirable steps less likely."""
    return GateLimits(
        rise_nats=config.gate_rise_nats,
        fall_nats=config.gate_fall_nats,
        l1_tolerance=config.gate_l1_tolerance,
        edge_rise=config.gate_edge_rise,
        own_success_nats=config.gate_own_success_nats,
        min_samples=config.gate_min_samples,
        undesirable_samples=config.gate_undesirable_samples,
        with_undesirable=with_undesirable,
    )


def evaluate(
    means: Mapping[SampleClass, ClassMeans],
    faults: Sequence[str],
    limits: GateLimits,
    own_success: ClassMeans | None = None,
    notes: Sequence[str] = (),
) -> Verdict:
    """Decides about an adapter; every reason against it is given.

    Args:
        means: held-out means of every class that has samples.
        faults: of the adapter's tensors and of the start-up self-test.
        limits: what it must reach.
        own_success: held-out means of the policy's steps of unaided successes; None without any.
        notes: what else could not be judged.
    """
    values, notes = _measured(means, limits), list(notes)
    if "held_out_l1" not in values:
        notes.append("no demonstration and no human step is held out: the policy's progress was not judged")
    count = values.get("held_out_undesirable_samples", 0)
    if limits.with_undesirable and count < limits.undesirable_samples:
        notes.append(
            f"{count} undesirable steps are held out, gate_undesirable_samples = {limits.undesirable_samples}: "
            "whether they became less likely was not judged"
        )
    if own_success is None:
        notes.append(
            "no success without a takeover is held out: whether the policy keeps what it could do was not judged"
        )
    else:
        values["held_out_own_success_samples"] = own_success.samples
        values["held_out_own_success_log_ratio"] = own_success.log_ratio
    reasons = (*faults, *_objections(values, limits))
    return Verdict(not reasons, reasons, tuple(notes), values)


def _measured(means: Mapping[SampleClass, ClassMeans], limits: GateLimits) -> dict[str, float]:
    goals = [means[name] for name in GOALS if name in means]
    count = sum(part.samples for part in goals)
    values: dict[str, float] = {"held_out_desirable_samples": count}
    if count:
        means_of = dict(_MEANS_OF)
        if all(part.serving_l1 is not None for part in goals):
            means_of |= _MEANS_OF_SERVING
        for name, field in means_of.items():
            values[name] = sum(getattr(part, field) * part.samples for part in goals) / count
    undesirable = means.get(SampleClass.UNDESIRABLE)
    if limits.with_undesirable and undesirable is not None:
        values["held_out_undesirable_samples"] = undesirable.samples
        values["held_out_undesirable_log_ratio"] = undesirable.log_ratio
    return values


def _objections(values: Mapping[str, float], limits: GateLimits) -> tuple[str, ...]:
    """Why what was measured is not good enough; empty when it is. What is missing is not judged."""
    reasons = []
    # written so that a value that is not a number is rejected
    count = values["held_out_desirable_samples"]
    if not count >= limits.min_samples:
        reasons.append(
            f"{count} demonstrated or corrected steps are held out, gate_min_samples = {limits.min_samples} are "
            "needed to judge by (config/trainer.yaml)"
        )
    if "held_out_l1" in values:
        rise, l1, ref_l1 = (values[f"held_out_{name}"] for name in ("desirable_log_ratio", "l1", "ref_l1"))
        if not rise > limits.rise_nats:
            reasons.append(
                f"held-out desirable log-ratio {rise:.3f} is not above gate_rise_nats = {limits.rise_nats:g} "
                "(config/trainer.yaml)"
            )
        others = {"the reference's": ref_l1, "the serving adapter's": values.get("held_out_serving_l1")}
        reasons += [
            f"held-out L1 error {l1:.4f} exceeds {whose} {other:.4f} by more than "
            f"gate_l1_tolerance = {limits.l1_tolerance:g} of it (config/trainer.yaml)"
            for whose, other in others.items()
            if other is not None and not l1 <= other * (1.0 + limits.l1_tolerance)
        ]
        edges, ref_edges = values["held_out_edge_share"], values["held_out_ref_edge_share"]
        if not edges <= ref_edges + limits.edge_rise:
            reasons.append(
                f"held-out share of decoded tokens at an edge of the range {edges:.3f} exceeds the reference's "
                f"{ref_edges:.3f} by more than gate_edge_rise = {limits.edge_rise:g} (config/trainer.yaml)"
            )
    if values.get("held_out_undesirable_samples", 0) >= limits.undesirable_samples:
        fall = values["held_out_undesirable_log_ratio"]
        if not fall < -limits.fall_nats:
            reasons.append(
                f"held-out undesirable log-ratio {fall:.3f} is not below minus gate_fall_nats = {limits.fall_nats:g} "
                "(config/trainer.yaml)"
            )
    kept = values.get("held_out_own_success_log_ratio")
    if kept is not None and not kept >= limits.own_success_nats:
        reasons.append(
            f"held-out log-ratio of the policy's own successes {kept:.3f} is below "
            f"gate_own_success_nats = {limits.own_success_nats:g} (config/trainer.yaml)"
        )
    return tuple(reasons)
