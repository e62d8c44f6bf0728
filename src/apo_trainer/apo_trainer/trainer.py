"""The training loop: balanced batches, reference log-probabilities, LoRA updates, evaluation on held-out samples."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from apo_core import self_test
from apo_core.errors import AdapterError
from apo_core.vla.lora import LoraSettings, attach_lora, lora_parameters, lora_state, stage, swap
from apo_core.vla.policy import VlaPolicy
from apo_trainer.batches import Batch, Batcher
from apo_trainer.config import TrainingConfig
from apo_trainer.dataset import SampleClass, TrainingData
from apo_trainer.gate import ClassMeans, Verdict, judge
from apo_trainer.losses import mismatched_pairs, sequence_logps
from apo_trainer.methods import METHODS, Terms
from apo_trainer.sampler import Draw

_EVALUATION_BATCH = 32


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
    l1: Mapping[str, float | None]  # mean teacher-forced error by class, normalised action units

    def as_dict(self) -> dict:
        return asdict(self)


class Trainer:
    """Trains the adapter of one policy. The reference is the policy of the round before: the parent adapter.

    Args:
        policy: loaded without an adapter (`VlaPolicy.load(folder, lora=None)`); this object attaches and trains one.
        data: samples.
        config: everything else.
        parent: tensors of the parent adapter, None when that is the base policy.
        cache_mb: memory for vision features.

    Raises:
        TrainingDataError: not enough samples.
        AdapterError: the parent does not fit the policy.
    """

    def __init__(
        self,
        policy: VlaPolicy,
        data: TrainingData,
        config: TrainingConfig,
        parent: Mapping[str, np.ndarray] | None = None,
        cache_mb: int = 512,
    ):
        self.policy, self.config, self._data = policy, config, data
        self.method = METHODS[config.method](data, config)
        self.settings = LoraSettings(config.lora_rank, config.lora_alpha, config.lora_dropout)
        attach_lora(policy.model, self.settings, config.seed)
        if parent is not None:
            swap(policy.model, stage(policy.model, parent))
        self._parameters = list(lora_parameters(policy.model).values())
        self._reference = [p.detach().clone() for p in self._parameters]
        self._batcher = Batcher(policy, data.train, config.seed, config.views, cache_mb, config.negative_noise)
        self._ref_logps: dict[Draw, Tensor] = {}  # the reference never changes within a run
        self._centres = torch.tensor(
            policy.codec.centres(np.arange(policy.codec.bins)), dtype=torch.float32, device=policy.device
        )
        self.stop_reason = ""  # why the last run ended before its planned steps

    def steps(self) -> Iterator[StepMetrics]:
        """Trains; yields after every optimizer step and may be abandoned at any.

        It ends early, with `stop_reason`, when the undesirable log-ratio runs away; the weights are those of that step.

        Raises:
            FloatingPointError: loss or gradient is not finite; the weights are of no use.
        """
        config = self.config
        torch.manual_seed(config.seed)
        optimizer = torch.optim.AdamW(self._parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        recent: deque[float] = deque(maxlen=config.guard_window)
        for step in range(config.steps):
            rate = learning_rate(step, config)
            for group in optimizer.param_groups:
                group["lr"] = rate
            metrics = self._step(step, rate, optimizer)
            yield metrics
            undesirable = metrics.log_ratio[SampleClass.UNDESIRABLE]
            if self.method.uses_reference and undesirable is not None:
                recent.append(undesirable)
                mean = sum(recent) / len(recent)
                if len(recent) == recent.maxlen and mean < config.guard_undesirable_nats:
                    self.stop_reason = (
                        f"the undesirable log-ratio fell to {mean:.1f} nats over {len(recent)} steps, below "
                        f"guard_undesirable_nats = {config.guard_undesirable_nats:g} (config/trainer.yaml)"
                    )
                    return

    def _step(self, step: int, rate: float, optimizer: torch.optim.Optimizer) -> StepMetrics:
        batch = self._batcher.batch(self.method.sampler.batch(step))
        ref_logps = self._reference_logps(batch)
        kl_policy_logps, kl_ref_logps = self._mismatched_logps(batch)
        self.policy.model.train(self.config.lora_dropout > 0)
        logits = self._logits(batch)
        self.policy.model.eval()
        policy_logps = sequence_logps(logits, batch.tokens, batch.mask)
        l1 = self._l1(logits.detach(), batch)
        out = self.method.loss(
            Terms(
                policy_logps=policy_logps,
                ref_logps=ref_logps,
                desirable=batch.desirable,
                classes=batch.classes,
                l1=l1,
                token_counts=batch.mask.sum(-1),
                kl_policy_logps=kl_policy_logps,
                kl_ref_logps=kl_ref_logps,
            )
        )
        optimizer.zero_grad(set_to_none=True)
        out.loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self.config.max_grad_norm)
        if not torch.isfinite(out.loss) or not torch.isfinite(norm):
            raise FloatingPointError(
                f"step {step + 1}: loss = {out.loss.item()}, gradient norm = {norm.item()}; lower learning_rate "
                f"(now {self.config.learning_rate:g}, config/trainer.yaml)"
            )
        optimizer.step()
        return StepMetrics(
            step=step + 1,
            loss=out.loss.item(),
            z0=out.z0.item(),
            learning_rate=rate,
            grad_norm=norm.item(),
            log_ratio=_by_class(batch, out.log_ratios),
            weight=_by_class(batch, out.weights),
            l1=_by_class(batch, l1),
        )

    @torch.no_grad()
    def _reference_logps(self, batch: Batch) -> Tensor:
        """Log pi_ref(a|o), (B,); zeros for a method that compares with no reference."""
        if not self.method.uses_reference:
            return batch.actions.new_zeros(len(batch.draws))
        new = [i for i, draw in enumerate(batch.draws) if draw not in self._ref_logps]
        if new:
            with self._as_reference():
                for i, value in zip(new, self._logps(batch, new, new), strict=True):
                    self._ref_logps[batch.draws[i]] = value
        return torch.stack([self._ref_logps[draw] for draw in batch.draws])

    @torch.no_grad()
    def _mismatched_logps(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log pi_theta(a'|o) and log pi_ref(a'|o), (B',) each; empty for a method that estimates no KL."""
        size = len(batch.draws) if self.method.uses_kl else 0
        rows, others = mismatched_pairs(size, self.config.kl_pairs)
        with self._as_reference():
            ref_logps = self._logps(batch, rows, others)
        return self._logps(batch, rows, others), ref_logps

    def evaluate(self) -> Verdict:
        """Judges the adapter as it is now on the held-out samples and by the self-test of serving."""
        if not all(bool(torch.isfinite(p).all()) for p in self._parameters):
            return judge({}, ["the adapter has values that are not finite"], self.config)
        faults = self_test.faults(self.policy, self._data.contract, self._data.instruction)
        return judge(self.held_out_means(), faults, self.config)

    def self_test(self) -> dict:
        """What the policy says to the probe of the start-up self-test, for the manifest."""
        return self_test.record(self.policy, self._data.contract, self._data.instruction)

    def held_out_means(self) -> dict[SampleClass, ClassMeans]:
        """Means over at most `held_out_samples` of each class, spread evenly."""
        chosen: list[int] = []
        for name in SampleClass:
            members = [i for i, s in enumerate(self._data.held_out) if s.sample_class is name]
            count = min(len(members), self.config.held_out_samples)
            chosen += [members[i * len(members) // count] for i in range(count)]
        batcher = Batcher(self.policy, self._data.held_out, self.config.seed, cache_mb=0)
        rows: dict[SampleClass, list[tuple[float, float, float]]] = {}
        for first in range(0, len(chosen), _EVALUATION_BATCH):
            batch = batcher.batch([Draw(i, 0) for i in chosen[first : first + _EVALUATION_BATCH]])
            with torch.no_grad():
                with self._as_reference():
                    ref = self._logits(batch)
                now = self._logits(batch)
            ratios = sequence_logps(now, batch.tokens, batch.mask) - sequence_logps(ref, batch.tokens, batch.mask)
            columns = (ratios.tolist(), self._l1(now, batch).tolist(), self._l1(ref, batch).tolist())
            for name, *row in zip(batch.classes, *columns, strict=True):
                rows.setdefault(name, []).append(tuple(row))
        return {
            name: ClassMeans(len(values), *(sum(column) / len(values) for column in zip(*values, strict=True)))
            for name, values in rows.items()
        }

    def adapter(self) -> dict[str, np.ndarray]:
        """The adapter's tensors as they are now, under PEFT's names.

        Raises:
            AdapterError: a value is not finite.
        """
        tensors = lora_state(self.policy.model)
        bad = [name for name, value in tensors.items() if not np.isfinite(value).all()]
        if bad:
            raise AdapterError(f"adapter tensors are not finite: {bad[:3]}")
        return tensors

    @contextlib.contextmanager
    def _as_reference(self) -> Iterator[None]:
        """The model is the reference inside; never enter it between a forward pass and its backward pass."""
        current = [p.detach().clone() for p in self._parameters]
        with torch.no_grad():
            torch._foreach_copy_(self._parameters, self._reference)
            try:
                yield
            finally:
                torch._foreach_copy_(self._parameters, current)

    def _logits(self, batch: Batch) -> Tensor:
        """(B, L, bins) teacher-forced on the samples' own actions."""
        return self.policy.model.action_logits(batch.features, batch.prompt_ids, batch.tokens)

    def _logps(self, batch: Batch, rows: Sequence[int], actions_of: Sequence[int]) -> Tensor:
        """Log-probabilities, one a row, of the actions of samples `actions_of` seen from samples `rows`."""
        if not rows:
            return batch.actions.new_zeros(0)
        tokens, mask = batch.tokens[actions_of], batch.mask[actions_of]
        logits = self.policy.model.action_logits(batch.features[rows], batch.prompt_ids[rows], tokens)
        return sequence_logps(logits, tokens, mask)

    def _l1(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean error (B,) of the teacher-forced argmax, decoded to bin centres, against the recorded action."""
        error = (self._centres[logits.argmax(-1)] - batch.actions).abs() * batch.mask
        return error.sum(-1) / batch.mask.sum(-1).clamp(min=1)


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Rate of optimizer step `step` (from 0): linear warmup, then a cosine down to `learning_rate_end` of it."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    share = config.learning_rate_end + (1.0 - config.learning_rate_end) * 0.5 * (1.0 + math.cos(math.pi * done))
    return config.learning_rate * share


def _by_class(batch: Batch, values: Tensor) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for name in SampleClass:
        chosen = values[batch.members(name)]
        means[str(name)] = chosen.mean().item() if chosen.numel() else None
    return means
