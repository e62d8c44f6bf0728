"""Flow matching: the negative flow-matching error, which stands for log p up to a constant.

    x_t = t eps + (1 - t) a,  u = eps - a,  eps ~ N(0, I),  t in (0, 1]
    s(a | o) = -kappa sum_i 1/M sum_m (v_i(x_tm, t_m, o) - u_mi)^2

A flow has no tractable likelihood. The flow-matching error weighted over t bounds -log p (arXiv 2210.02747, 2107.00630
for diffusion), and Diffusion-DPO (arXiv 2311.12908), RPRO (arXiv 2606.05468) and RKO (arXiv 2602.09583) compare
policies by it. Policy and reference share the M draws of (eps, t), so that s - s_ref is no noise where the two agree.
It is not a log-probability: it is finite for impossible actions, and no probability of one action beside another
follows from it. kappa is a setting; it takes the place of 1 / (2 sigma^2).

Times follow the training of pi0 (arXiv 2410.24164): t = 0.999 b + 0.001, b ~ Beta(1.5, 1), one of each stratum. The
first draw has t = 1, pure noise, where eps - v is the mean of the actions given the observation: its distance from a is
the action error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from apo_vla.actions.codec import ActionCodec
from apo_vla.likelihood.continuous import EDGE, continuous_targets, mean_error
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import Encoded, Pass, Scores, Targets

_LEAST_TIME = 0.001
_LARGEST_GUIDANCE = 10.0  # weight, as LeRobot has it; it is infinite at t = 1


class PrefixCache(Protocol):
    """Everything about observations that the velocity depends on."""

    def rows(self, chosen: Sequence[int]) -> PrefixCache:
        """Of some rows, without gradient."""


class FlowModel(Protocol):
    """What this likelihood and `sample` use of a model."""

    def prefix_cache(self, features: Tensor, prompt_ids: Tensor, checkpointing: bool = False) -> Any:
        """A PrefixCache of B observations."""

    def velocity(self, cache: Any, noisy: Tensor, time: Tensor) -> Tensor:
        """v of D draws for each observation.

        Args:
            cache: of B observations.
            noisy: float32 (B, D, R, A).
            time: float32 (B, D), 1 is noise and 0 the action.

        Returns:
            float32 (B, D, R, A).
        """


class FlowLikelihood:
    """See `ActionLikelihood`; L = R * A numbers.

    Args:
        codec: of the actions.
        rows: R of a chunk.
        settings: `flow_draws`, `flow_scale`, `flow_limit_scale`.
        width: numbers a row that the model takes; those beyond the codec's are 0 in the data and count for nothing.
    """

    has_context = False

    def __init__(self, codec: ActionCodec, rows: int, settings: LikelihoodSettings, width: int | None = None):
        self.name = f"flow {settings.flow_draws} {settings.flow_scale:g}"
        self._codec, self._rows, self._draws, self._scale = codec, rows, settings.flow_draws, settings.flow_scale
        self.limit_scale = settings.flow_limit_scale
        self._width = width or codec.size
        self._edges = torch.from_numpy(EDGE * np.tile(codec.limits, rows)).float()

    def fault(self, chunk: np.ndarray, mask: np.ndarray) -> str:
        """Every action has an error."""
        return ""

    def encode(self, chunks: np.ndarray, mask: np.ndarray, emitted: Sequence[np.ndarray | None]) -> Encoded:
        """Normalised actions."""
        return continuous_targets(self._codec, chunks, mask)

    def scores(self, model: FlowModel, seen: Pass, targets: Targets) -> Scores:
        """One pass for what the observations show, one for all draws, and one for those of the other actions."""
        cache = model.prefix_cache(seen.features, seen.prompt_ids, seen.checkpointing)
        noise, time = draws(targets.seeds, self._draws, self._rows, self._width)
        velocity = model.velocity(cache, *self._noisy(targets, noise, time))
        chosen = self._own(noise[:, 0] - velocity.detach()[:, 0].float())
        others, other_logps = seen.others, velocity.new_zeros(0, dtype=torch.float32)
        if others.targets is not None and len(others.rows):
            with torch.no_grad():
                other_noise, other_time = draws(others.targets.seeds, self._draws, self._rows, self._width)
                noisy = self._noisy(others.targets, other_noise, other_time)
                other_velocity = model.velocity(cache.rows(list(others.rows)), *noisy)
                other_logps = self._logps(other_velocity, other_noise, others.targets)
        at_edge = (chosen.abs() >= self._edges.to(chosen.device)) & targets.mask
        return Scores(
            logps=self._logps(velocity, noise, targets),
            l1=mean_error(chosen, targets),
            edges=at_edge.sum(-1) / targets.mask.sum(-1).clamp(min=1),
            other_logps=other_logps,
        )

    def _noisy(self, targets: Targets, noise: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        share = time[:, :, None, None]
        return share * noise + (1 - share) * self._actions(targets), time

    def _logps(self, velocity: Tensor, noise: Tensor, targets: Targets) -> Tensor:
        error = self._own((velocity.float() - (noise - self._actions(targets))).square().mean(1))
        return -self._scale * (error * targets.mask).sum(-1)

    def _actions(self, targets: Targets) -> Tensor:
        """(B, 1, R, width) of outputs (B, R * A)."""
        actions = targets.outputs.unflatten(1, (1, self._rows, self._codec.size))
        return F.pad(actions, (0, self._width - self._codec.size))

    def _own(self, values: Tensor) -> Tensor:
        """(B, R * A) of (B, R, width)."""
        return values[..., : self._codec.size].flatten(1)


def draws(seeds: Tensor, count: int, rows: int, size: int) -> tuple[Tensor, Tensor]:
    """Noise float32 (n, count, rows, size) and times float32 (n, count) of n seeds int64 (n,), on their device."""
    noise = np.empty((len(seeds), count, rows, size), np.float32)
    times = np.ones((len(seeds), count), np.float32)
    for row, seed in enumerate(seeds.tolist()):
        rng = np.random.default_rng(seed)
        noise[row] = rng.standard_normal((count, rows, size))
        strata = (np.arange(count - 1) + rng.random(count - 1)) / max(count - 1, 1)
        # the quantile function of Beta(1.5, 1)
        times[row, 1:] = (1 - _LEAST_TIME) * strata ** (2 / 3) + _LEAST_TIME
    return torch.from_numpy(noise).to(seeds.device), torch.from_numpy(times).to(seeds.device)


def embed_time(time: Tensor, size: int, least: float = 4e-3, largest: float = 4.0) -> Tensor:
    """Sines and cosines of times in [0, 1], float32 (..., size), size even (arXiv 2410.24164, appendix B).

    Args:
        time: (...).
        size: of the embedding.
        least, largest: periods, evenly spaced between on a logarithmic scale.
    """
    # at the least period, float32 would lose four digits of the angle
    shares = torch.linspace(0, 1, size // 2, dtype=torch.float64, device=time.device)
    angles = time.double()[..., None] * (2 * math.pi / (least * (largest / least) ** shares))
    return torch.cat([angles.sin(), angles.cos()], dim=-1).float()


def sample(model: FlowModel, cache: Any, noise: Tensor, steps: int, committed: Tensor | None = None) -> Tensor:
    """Actions float32 (B, R, A), normalised, by Euler steps from t = 1 to 0 (arXiv 2410.24164, equation 3).

    Args:
        model: gives the velocity.
        cache: of B observations, made once.
        noise: float32 (B, R, A), where the steps begin.
        steps: of the same length.
        committed: float32 (B, F, a), F < R, a <= A: the chunk begins with these rows, and the steps are guided to them
            (real-time chunking, arXiv 2506.07339, equation 2, with the identity for the Jacobian as LeRobot has it).
    """
    actions = noise
    for step in range(steps):
        share = 1.0 - step / steps
        time = noise.new_full((len(noise), 1), share)
        velocity = model.velocity(cache, actions[:, None], time)[:, 0]
        if committed is not None:
            velocity = _guided(velocity, actions, share, committed)
        actions = actions - velocity / steps
    return actions if committed is None else _with_rows(actions, committed)


def _guided(velocity: Tensor, actions: Tensor, time: float, committed: Tensor) -> Tensor:
    """The velocity (B, R, A) at a time in (0, 1], turned to where it would end at the committed rows."""
    rows, size = committed.shape[1:]
    ends = (actions - time * velocity)[:, :rows, :size]
    done = 1.0 - time
    weight = min((time**2 + done**2) / (time * done), _LARGEST_GUIDANCE) if done > 0 else _LARGEST_GUIDANCE
    return _with_rows(velocity, velocity[:, :rows, :size] - weight * (committed - ends))


def _with_rows(values: Tensor, first: Tensor) -> Tensor:
    """Values (B, R, A) with the corner (B, F, a) in their place."""
    made = values.clone()
    made[:, : first.shape[1], : first.shape[2]] = first
    return made
