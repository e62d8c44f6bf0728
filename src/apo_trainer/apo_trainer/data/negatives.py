"""Actions that the policy shall not take where a person or an expert acted, for losses over pairs. No torch."""

from __future__ import annotations

import numpy as np

from apo_trainer.data.samples import Sample, SampleClass
from apo_vla.actions.codec import ActionCodec


def has_shadow(sample: Sample) -> bool:
    """Whether the policy's own action was recorded beside every row of the sample's chunk that counts."""
    rows = int(sample.episode.rows[sample.step])
    shadow = sample.episode.policy_actions[sample.step : sample.step + rows]
    return sample.sample_class is SampleClass.HUMAN and bool(np.isfinite(shadow).all())


def shadow_chunk(sample: Sample, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """The policy's own actions: float32 (horizon, A), and the mask (horizon,) of `Sample.chunk`.

    Args:
        sample: one that `has_shadow`.
        horizon: rows of the policy's action chunk.
    """
    return sample.episode.policy_actions[sample.chunk_steps(horizon)], sample.chunk(horizon)[1]


def shadow_tokens(sample: Sample, horizon: int) -> np.ndarray | None:
    """Tokens that the policy emitted for `shadow_chunk`, int32 (horizon, A), -1 unknown; None: not recorded."""
    tokens = sample.episode.policy_tokens
    return None if tokens is None else tokens[sample.chunk_steps(horizon)]


def synthetic_chunk(
    sample: Sample, horizon: int, codec: ActionCodec, noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The recorded chunk with Gaussian noise in normalised action space, clipped to [-1, 1].

    Args:
        sample: any.
        horizon: rows of the policy's action chunk.
        codec: normalisation of the policy.
        noise: standard deviation, normalised action units.
        rng: what the noise is drawn from.

    Returns:
        float32 (horizon, A) in contract units, and the mask (horizon,) of `Sample.chunk`.
    """
    actions, mask = sample.chunk(horizon)
    normal = codec.normalise(actions)
    return codec.denormalise(np.clip(normal + noise * rng.standard_normal(normal.shape), -1.0, 1.0)), mask
