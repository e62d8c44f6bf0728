"""The training loop: reference, batches, updates of the adapter, and the evaluation of the result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from apo_core import policy_probe
from apo_core.errors import AdapterError
from apo_trainer.config import TrainingConfig
from apo_trainer.data.batches import Batcher
from apo_trainer.data.dataset import TrainingData
from apo_trainer.data.features import FeatureSettings
from apo_trainer.data.mismatched import MismatchedActions
from apo_trainer.data.prefix_noise import PrefixNoise
from apo_trainer.data.sampler import Draw
from apo_trainer.data.samples import SampleClass
from apo_trainer.data.scorable import with_scorable
from apo_trainer.evaluation.forward import ForwardPass
from apo_trainer.evaluation.gate import Verdict, evaluate, limits_of
from apo_trainer.evaluation.held_out import DesirableError, HeldOut, held_out
from apo_trainer.evaluation.reference import Reference, ReferenceLogps
from apo_trainer.evaluation.reference_cache import ReferenceCache
from apo_trainer.methods import METHODS
from apo_trainer.optimisation.best_weights import BestWeights
from apo_trainer.optimisation.checkpoint import Progress, load_progress, save_progress
from apo_trainer.optimisation.distributed import Processes
from apo_trainer.optimisation.guard import Guard
from apo_trainer.optimisation.likely_steps import token_logps, with_likely
from apo_trainer.optimisation.optimizers import make_optimizer
from apo_trainer.optimisation.step_count import planned_steps
from apo_trainer.optimisation.step_metrics import StepMetrics, step_metrics
from apo_trainer.optimisation.training_stages import TrainingStages
from apo_trainer.optimisation.update import Update
from apo_trainer.optimisation.weight_mean import WeightMean
from apo_vla.lora.adapter import LoraSettings, attach_lora, lora_parameters, lora_state, reaches_features, stage, swap
from apo_vla.policy import VlaPolicy

_PREFETCHED_BATCHES = 2  # read ahead by the workers


@dataclass(frozen=True, slots=True)
class Resources:
    """What of the machine a training may use."""

    feature_cache_mb: int = 512  # memory for vision features
    reference_cache_dir: Path | None = None  # keeps the reference's log-probabilities between runs
    workers: int = 0  # threads that read and prepare images ahead
    processes: Processes = field(default_factory=Processes)


class Trainer:
    """Trains the adapter of one policy, from the base or a parent adapter; `config.reference` chooses the reference.

    Args:
        policy: loaded without an adapter (`VlaPolicy.load(folder, lora=None)`); this object attaches and trains one.
        data: samples.
        config: everything else.
        parent: tensors of the parent adapter, None when that is the base policy.
        resources: what of the machine may be used.

    Raises:
        TrainingDataError: not enough samples.
        AdapterError: the parent does not fit the policy.
        ConfigError: the batch cannot be shared by the processes, or the optimizer does not fit the adapter.

    Attributes:
        data: samples that are used.
        planned_steps: optimizer steps of the whole run.
    """

    def __init__(
        self,
        policy: VlaPolicy,
        data: TrainingData,
        config: TrainingConfig,
        parent: Mapping[str, np.ndarray] | None = None,
        resources: Resources | None = None,
    ):
        resources = resources or Resources()
        self.policy, self.config, self._processes = policy, config, resources.processes
        self._data_notes: list[str] = []
        likelihood = policy.likelihood(config.likelihood)
        self.data, note = with_scorable(data, likelihood, policy.chunk)
        self._data_notes += filter(None, [note])
        # the adapter that is trained
        self.settings = LoraSettings.of(config.lora, config.lora_dropout)
        attach_lora(policy.model, self.settings, config.seed)
        if reaches_features(policy.model):
            self._data_notes.append("the adapter reaches layers before the language model: no features are kept")
        self._named = lora_parameters(policy.model)
        self._parameters = list(self._named.values())
        self._optimizer = make_optimizer(self._named, config)
        # the reference: the policy before the first step, or the base policy, which the new adapter leaves as it is
        base = Reference(policy, self._named)
        if parent is not None:
            swap(policy.model, stage(policy.model, parent))
        self._reference = base if config.reference == "base" else Reference(policy, self._named)
        self.reference_sha256 = self._reference.sha256(config.lora.lora_alpha, config.precision, likelihood.name)
        self._cache = ReferenceCache(resources.reference_cache_dir, self.reference_sha256)
        logps = ReferenceLogps(
            policy, self._reference, self._cache, config.precision, config.likelihood, config.micro_batch_size
        )
        self._serving: Reference | None = None  # the adapter that serves, where that is another policy
        self._serving_fault = ""
        # the batches
        method = METHODS[config.method]
        if method.uses_reference:
            self._choose_undesirable(logps)
        self.method = method(self.data, config)
        self._stages = TrainingStages(self._named, config, planned_steps(config, self.method.sampler))
        self.planned_steps = self._stages.steps
        features = FeatureSettings(config.seed, config.views, resources.feature_cache_mb, resources.workers)
        self._batcher = Batcher(policy, self.data.train, features, config.negative_noise)
        self._mismatched = MismatchedActions(self.method.sampler, self.data.train, self.planned_steps, config.seed)
        self._prefix_noise = (
            PrefixNoise(config.prefix_noise, config.prefix_jitter, policy.codec.bins, config.seed)
            if likelihood.has_context
            else None
        )
        # the steps, and the weights that become the adapter
        self._forward = ForwardPass(policy, config)
        reference_logps = logps if self.method.uses_reference else None
        self._update = Update(
            policy, self._forward, self._parameters, self.method, reference_logps, config, self._processes
        )
        self._mean = WeightMean(self._named, config.ema_decay)
        self._best = BestWeights(self._named)
        self._error = DesirableError(policy, self.data.held_out, config.held_out_samples, self._forward)
        self._limits = _scaled_limits(config, likelihood.limit_scale)
        if self._limits != config:
            self._data_notes.append(
                f"log-ratios of squared errors: guard_undesirable_nats = {self._limits.guard_undesirable_nats:g} and "
                f"gate_own_success_nats = {self._limits.gate_own_success_nats:g}, by flow_limit_scale = "
                f"{likelihood.limit_scale:g} (config/trainer.yaml)"
            )
        self._guard = Guard(self._limits)
        self.step = 0  # optimizer steps done
        self.stop_reason = ""  # why the last run ended before its planned steps

    @property
    def notes(self) -> list[str]:
        """Shortages of data and machine, and their remedy."""
        return [*self._data_notes, *self.method.sampler.notes, *filter(None, [self._cache.fault])]

    def _choose_undesirable(self, reference: ReferenceLogps) -> None:
        """With undesirable_of = likely: leaves out undesirable samples that the reference would not have taken."""
        undesirable = [sample for sample in self.data.train if not sample.desirable]
        if self.config.undesirable_of == "likely" and undesirable:
            # every process must train on the same samples, and each rounds in its own way
            logps = self._processes.share(token_logps(self.policy, undesirable, reference))
            least, keep = self.config.undesirable_min_logp, self.config.undesirable_keep_at_least
            self.data, note = with_likely(self.data, logps, least, keep)
            self._data_notes.append(note)
        counts = ", ".join(f"{version}: {count}" for version, count in self.data.undesirable_by_adapter.items())
        if counts:
            self._data_notes.append(f"undesirable steps by adapter: {{{counts}}}")

    def compare_with(self, serving: Mapping[str, np.ndarray]) -> None:
        """Evaluates against this adapter too, the one that serves. Raises AdapterError: it does not fit the policy."""
        with self._reference.active():  # which brings back what is trained
            swap(self.policy.model, stage(self.policy.model, serving))
            self._serving = Reference(self.policy, self._named)

    def leave_uncompared(self, why: str) -> None:
        """The verdict will note why the adapter that serves is not compared with."""
        self._serving_fault = why

    def steps(self) -> Iterator[StepMetrics]:
        """Trains from step `step` on; yields after every optimizer step and may be abandoned at any.

        It ends early, with `stop_reason`, when the undesirable log-ratio runs away or z0 reaches `target_kl`; the
        weights are those of that step.

        Raises:
            FloatingPointError: loss or gradient is not finite; the weights are of no use.
        """
        self._batch_rows(self.step)  # raises before the first step
        try:
            while self.step < self.planned_steps and not self.stop_reason:
                metrics = self._step(self.step)
                self.step += 1
                if not self._stages.imitates(self.step - 1):
                    self._guard.add(
                        metrics.log_ratio[SampleClass.UNDESIRABLE] if self.method.uses_reference else None,
                        metrics.z0 if self.method.uses_kl else None,
                    )
                self.stop_reason = self._guard.stop_reason()
                self._keep_best_weights()
                yield metrics
        finally:
            self._batcher.features.close()

    def save(self, path: Path) -> None:
        """Writes what `resume` needs. Raises OSError."""
        progress = Progress(
            self.step, self._guard.undesirable, self._guard.z0, self._facts(), self._best.step, self._best.error
        )
        save_progress(path, progress, self._named, self._mean.tensors, self._best.tensors, self._optimizer)

    def resume(self, path: Path) -> None:
        """Goes on where `save` was called, to the bit on the same machine. Raises ResumeError."""
        progress, best = load_progress(path, self._named, self._mean.tensors, self._optimizer, self._facts())
        self.step = progress.step
        self._best.restore(progress.best_step, progress.best_error, best)
        self._guard.restore(progress.recent, progress.recent_kl)
        self.stop_reason = self._guard.stop_reason()

    def _facts(self) -> dict[str, str]:
        samples = hashlib.sha256()
        for sample in self.data.train:
            samples.update(f"{sample.key} {sample.sample_class}\n".encode())
        return {
            "parameters of the training": self.config.sha256,
            "reference": self.reference_sha256,
            "samples": samples.hexdigest(),
        }

    def _batch_rows(self, step: int) -> tuple[Sequence[Draw], range]:
        """All rows of a batch, and which of them are this process's."""
        draws = self.method.sampler.batch(step)
        return draws, self._processes.rows(len(draws))

    def _step(self, step: int) -> StepMetrics:
        draws, own = self._batch_rows(step)
        imitates = self._stages.imitates(step)
        uses_kl = self.method.uses_kl and not imitates
        rows, others = self._mismatched.pairs(draws, self.config.kl_pairs) if uses_kl else ([], [])
        pairs = [(row - own.start, other) for row, other in zip(rows, others, strict=True) if row in own]
        batch = self._batcher.batch(
            draws[own.start : own.stop], [row for row, _ in pairs], [other for _, other in pairs]
        )
        for ahead in range(step + 1, min(step + 1 + _PREFETCHED_BATCHES, self.planned_steps)):
            later, _ = self._batch_rows(ahead)
            self._batcher.features.prefetch(later[own.start : own.stop])
        if self._prefix_noise:
            noisy = self._prefix_noise.apply(batch.targets.outputs.cpu().numpy(), step, own.start)
            batch = replace(batch, context=torch.from_numpy(noisy).to(self.policy.device))
        classes = self._batcher.classes(draws)
        self._stages.begin(step)
        out, terms = self._update.gradient(step, batch, classes, imitates)
        norm = torch.nn.utils.clip_grad_norm_(self._stages.parameters(step), self.config.max_grad_norm)
        if not torch.isfinite(out.loss) or not torch.isfinite(norm):
            raise FloatingPointError(
                f"step {step + 1}: loss = {out.loss.item()}, gradient norm = {norm.item()}; lower learning_rate "
                f"(now {self.config.learning_rate:g}, config/trainer.yaml)"
            )
        rate = self._stages.learning_rate(step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._mean.add(step)
        return step_metrics(step, rate, norm, terms, out)

    def _keep_best_weights(self) -> None:
        """Every `judge_every` steps: measures the weights that would become the adapter, and keeps the best so far."""
        every, is_last = self.config.judge_every, bool(self.stop_reason) or self.step == self.planned_steps
        if not every or self._processes.rank or (self.step % every and not is_last):
            return
        with self._mean.active():
            error = self._error.measure()
            if error is None:
                return
            self._best.offer(self.step, error)
        if is_last and self._best.step < self.step:
            self._data_notes.append(
                f"the adapter has the weights after step {self._best.step} of {self.step}: held-out L1 error "
                f"{self._best.error:.4f}, at the end {error:.4f}"
            )

    def finish(self) -> None:
        """Ends the optimisation: the adapter becomes the best of its weights' running means so far."""
        self._mean.take()
        self._best.take()

    def evaluate(self) -> Verdict:
        """The gate's verdict on the adapter as it is, from held-out samples and the self-test of serving."""
        limits = limits_of(self._limits, self.method.uses_reference)
        if not all(bool(torch.isfinite(p).all()) for p in self._parameters):
            return evaluate({}, ["the adapter has values that are not finite"], limits)
        faults = policy_probe.faults(self.policy.predict, self.data.known_contract(), self.data.instruction)
        found = self.held_out()
        return evaluate(found.means, faults, limits, found.own_success, list(filter(None, [self._serving_fault])))

    def self_test(self) -> dict:
        """The policy's answer to the probe of the start-up self-test, for the manifest."""
        return policy_probe.record(self.policy.predict, self.data.known_contract(), self.data.instruction)

    def held_out(self) -> HeldOut:
        """Means over at most `held_out_samples` of each class, spread evenly."""
        samples, most = self.data.held_out, self.config.held_out_samples
        return held_out(self.policy, samples, most, self._reference, self._serving, self._forward)

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


def _scaled_limits(config: TrainingConfig, scale: float) -> TrainingConfig:
    """The limits of log-ratios for a kind of likelihood whose log-ratios are larger by `scale`."""
    return replace(
        config,
        guard_undesirable_nats=scale * config.guard_undesirable_nats,
        gate_own_success_nats=scale * config.gate_own_success_nats,
    )
