"""What a run trains on, in numbers. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from apo_episodes.labeling import LabelRule
from apo_trainer.data.episode_files import RejectedEpisode
from apo_trainer.data.samples import POLICY_CLASSES, Sample, SampleClass
from apo_vla.actions.codec import ActionCodec


@dataclass(frozen=True, slots=True)
class DataReport:
    """Numbers of a run's training data, for its result and its adapter's manifest."""

    train_samples: Mapping[str, int]  # by class
    train_samples_by_adapter: Mapping[str, Mapping[str, int]]  # class -> adapter as text -> steps of interactions
    held_out_samples: Mapping[str, int]  # by class
    policy_tokens: Mapping[str, int] | None  # of `token_counts`; None: not counted
    train_episodes: int
    held_out_episodes: tuple[str, ...]  # ids
    label_rule: LabelRule
    undesirable_windows: Mapping[str, Any]  # of `window_statistics`
    k_fit: Mapping[str, Any] | None  # statistics of the windows that gave K; None: a fixed K
    rejected: tuple[RejectedEpisode, ...]
    rest_steps_left_out: int = 0  # human steps that are no corrections, because the operator rested

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {
            "train_samples": self.train_samples,
            "train_samples_by_adapter": self.train_samples_by_adapter,
            "held_out_samples": self.held_out_samples,
            "policy_tokens": self.policy_tokens,
            "train_episodes": self.train_episodes,
            "held_out_episodes": list(self.held_out_episodes),
            "label_rule": asdict(self.label_rule),
            "rest_steps_left_out": self.rest_steps_left_out,
            "undesirable_windows": self.undesirable_windows,
            "k_fit": self.k_fit,
            "rejected_files": [{"path": str(item.path), "reason": item.reason} for item in self.rejected],
        }


def count_by_class(samples: Iterable[Sample]) -> dict[str, int]:
    """Number of samples of each class, 0 for one without any."""
    counts = {str(name): 0 for name in SampleClass}
    for sample in samples:
        counts[sample.sample_class] += 1
    return counts


def token_counts(samples: Iterable[Sample], codec: ActionCodec) -> dict[str, int]:
    """Where the tokens of the policy's own steps come from.

    Returns:
        `recorded`: steps with the tokens that the policy emitted; `encoded`: the other ones, whose tokens are made from
        the action; `disagreeing`: those among them whose recorded tokens decode to another action.
    """
    own = [sample for sample in samples if sample.sample_class in POLICY_CLASSES]
    rows = [(tokens[0], s.chunk(1)[0][0]) for s in own if (tokens := s.emitted_tokens(1)) is not None]
    recorded = known = 0
    if rows:
        tokens, actions = (np.stack(part) for part in zip(*rows, strict=True))
        recorded = int(codec.agree(tokens, actions).sum())
        known = int((tokens >= 0).all(axis=-1).sum())
    return {"recorded": recorded, "encoded": len(own) - recorded, "disagreeing": known - recorded}


def count_by_adapter(samples: Iterable[Sample]) -> dict[str, dict[str, int]]:
    """Steps of interactions: {class: {adapter that was deployed: number}}; the keys are text, as in JSON."""
    counts: dict[str, Counter[int]] = {str(name): Counter() for name in SampleClass if name is not SampleClass.EXPERT}
    for sample in samples:
        if sample.sample_class is not SampleClass.EXPERT:
            counts[sample.sample_class][int(sample.episode.adapter_versions[sample.step])] += 1
    return {name: {str(version): count for version, count in sorted(part.items())} for name, part in counts.items()}
