"""One optimizer step: the loss of a whole batch, whose rows may be spread over micro-batches and processes.

A loss may compare the rows of its batch (weights relative to the batch, z0, pairs), so it is taken once, on the terms
of all rows: the forward passes give the terms, the loss gives d loss / d log pi_theta(a|o) of each row, and each part
of the batch takes that through its own backward pass. With several micro-batches the forward pass is repeated, as their
activations are not kept together (gradient caching, arXiv 2101.06983). The gradient is that of the undivided batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from apo_trainer.config import TrainingConfig
from apo_trainer.data.batches import Batch
from apo_trainer.data.samples import SampleClass
from apo_trainer.evaluation.forward import ForwardPass
from apo_trainer.evaluation.reference import ReferenceLogps
from apo_trainer.losses import LossOutput
from apo_trainer.methods import Method, Terms
from apo_trainer.optimisation.distributed import Processes
from apo_vla.likelihood.types import Scores
from apo_vla.policy import VlaPolicy


class Update:
    """Puts the gradient of a batch's loss into the adapter's parameters.

    Args:
        policy: the model.
        forward: scores its batches.
        parameters: of the adapter.
        method: gives the loss.
        reference: of the method, None for one without.
        config: micro_batch_size, lora_dropout, seed.
        processes: that share the batch.
    """

    def __init__(
        self,
        policy: VlaPolicy,
        forward: ForwardPass,
        parameters: Sequence[Tensor],
        method: Method,
        reference: ReferenceLogps | None,
        config: TrainingConfig,
        processes: Processes,
    ):
        self._policy, self._forward_pass, self._parameters, self._method = policy, forward, parameters, method
        self._reference, self._config, self._processes = reference, config, processes

    def gradient(
        self, step: int, batch: Batch, classes: Sequence[SampleClass], imitates: bool = False
    ) -> tuple[LossOutput, Terms]:
        """Sets the gradients of the parameters that take one, the same in every process.

        Args:
            step: number of the step, which fixes what dropout drops.
            batch: this process's rows.
            classes: of all rows of all processes.
            imitates: whether the loss is the method's imitation of desirable rows.
        """
        parts = self._parts(batch)
        reference = self._reference_logps(batch)
        with torch.set_grad_enabled(len(parts) == 1):
            forwards = [self._forward(step, part, rows) for rows, part in parts]
        terms = self._terms(batch, forwards, reference, classes)
        out = self._method.imitation_loss(terms) if imitates else self._method.total_loss(terms)
        (slopes,) = torch.autograd.grad(out.loss, terms.policy_logps)
        rows = self._processes.rows(len(slopes))
        slopes = slopes[rows.start : rows.stop]
        trained = [parameter for parameter in self._parameters if parameter.requires_grad]
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
        for (span, part), forward in zip(parts, forwards, strict=True):
            # a part's activations are made anew just before its backward pass, unless it is the only one
            logps = forward.logps if len(parts) == 1 else self._forward(step, part, span).logps
            logps.backward(slopes[span.start : span.stop])
        self._processes.add([parameter.grad for parameter in trained])
        return out, terms

    def _forward(self, step: int, part: Batch, rows: range) -> Scores:
        """The forward pass in training mode; the same numbers are dropped each time it is called for the same rows."""
        if not self._config.lora_dropout:
            return self._forward_pass(part)
        words = np.random.SeedSequence([self._config.seed, step, self._processes.rank, rows.start]).generate_state(1)
        torch.manual_seed(int(words[0]))
        self._policy.model.train()
        try:
            return self._forward_pass(part)
        finally:
            self._policy.model.eval()

    def _parts(self, batch: Batch) -> list[tuple[range, Batch]]:
        size = self._config.micro_batch_size
        if not 0 < size < len(batch):
            return [(range(len(batch)), batch)]
        spans = [range(first, min(first + size, len(batch))) for first in range(0, len(batch), size)]
        return [(span, batch.part(span)) for span in spans]

    def _reference_logps(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log pi_ref(a|o), (B,), and log pi_ref(a'|o), (R,); zeros for a method that compares with no reference."""
        if self._reference is not None:
            return self._reference.of(batch)
        zeros = torch.zeros(len(batch) + len(batch.others.rows), device=self._policy.device)
        return zeros[: len(batch)], zeros[len(batch) :]

    def _terms(
        self,
        batch: Batch,
        forwards: Sequence[Scores],
        reference: tuple[Tensor, Tensor],
        classes: Sequence[SampleClass],
    ) -> Terms:
        """Terms of all rows of all processes; only `policy_logps` takes a gradient."""
        logps, l1 = torch.cat([f.logps.detach() for f in forwards]), torch.cat([f.l1 for f in forwards])
        edges = torch.cat([f.edges for f in forwards])
        other_logps = torch.cat([f.other_logps for f in forwards])
        ref_logps, other_ref_logps = reference
        # every process sends as many numbers: NaN in a row without a mismatched action
        others = logps.new_full((2, len(logps)), torch.nan)
        others[:, list(batch.others.rows)] = torch.stack([other_logps, other_ref_logps])
        has_other = torch.zeros_like(logps)
        has_other[list(batch.others.rows)] = 1.0
        desirable = batch.desirable.to(logps.dtype)
        counts = batch.targets.mask.sum(-1).float()
        rows = torch.stack([logps, ref_logps, l1, edges, counts, desirable, has_other, *others], dim=1)
        (logps, ref_logps, l1, edges, counts, desirable, has_other, kl_policy, kl_ref) = self._processes.gather(
            rows
        ).unbind(1)
        chosen = has_other > 0
        return Terms(
            policy_logps=logps.contiguous().requires_grad_(),
            ref_logps=ref_logps,
            desirable=desirable > 0,
            classes=tuple(classes),
            l1=l1,
            edges=edges,
            token_counts=counts,
            kl_policy_logps=kl_policy[chosen],
            kl_ref_logps=kl_ref[chosen],
        )
