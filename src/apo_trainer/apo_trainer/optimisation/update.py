"""One optimizer step: the loss of a whole batch, whose rows may be spread over micro-batches and processes.

A loss may compare the rows of its batch (weights relative to the batch, z0, pairs), so it is taken once, on the terms
of all rows: the forward passes give the terms, the loss gives d loss / d log pi_theta(a|o) of each row, and each part
of the batch takes that through its own backward pass. With several micro-batches the forward pass is repeated, as their
activations are not kept together (gradient caching, arXiv 2101.06983). The gradient is that of the undivided batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from apo_trainer.config import TrainingConfig
from apo_trainer.data.batches import Batch
from apo_trainer.data.dataset import SampleClass
from apo_trainer.losses import LossOutput, sequence_logps
from apo_trainer.methods import Method, Terms
from apo_trainer.optimisation.action_tolerance import action_scores
from apo_trainer.optimisation.distributed import Processes
from apo_trainer.optimisation.edge_tokens import EdgeTokens
from apo_trainer.optimisation.precision import matrix_products
from apo_trainer.optimisation.reference import ReferenceLogps
from apo_vla.policy import VlaPolicy


@dataclass(frozen=True, slots=True)
class Forward:
    """What a forward pass says about B rows and R mismatched actions."""

    logps: Tensor  # (B,) log pi_theta(a|o), nats
    l1: Tensor  # (B,) without gradient
    edges: Tensor  # (B,) share of decoded tokens at an edge of the range, without gradient
    other_logps: Tensor  # (R,) log pi_theta(a'|o), without gradient


class Update:
    """Puts the gradient of a batch's loss into the adapter's parameters.

    Args:
        policy: the model.
        parameters: of the adapter.
        method: gives the loss.
        reference: of the method, None for one without.
        config: micro_batch_size, gradient_checkpointing, precision, action_tolerance, seed.
        processes: that share the batch.
    """

    def __init__(
        self,
        policy: VlaPolicy,
        parameters: Sequence[Tensor],
        method: Method,
        reference: ReferenceLogps | None,
        config: TrainingConfig,
        processes: Processes,
    ):
        self._policy, self._parameters, self._method = policy, parameters, method
        self._reference, self._config, self._processes = reference, config, processes
        self._centres = torch.tensor(
            policy.codec.centres(np.arange(policy.codec.bins)), dtype=torch.float32, device=policy.device
        )
        self._scores = action_scores(policy, config.action_tolerance)
        self._edge_tokens = EdgeTokens(policy.codec, policy.device)

    def gradient(self, step: int, batch: Batch, classes: Sequence[SampleClass]) -> tuple[LossOutput, Terms]:
        """Sets the parameters' gradients, the same in every process.

        Args:
            step: number of the step, which fixes what dropout drops.
            batch: this process's rows.
            classes: of all rows of all processes.
        """
        parts = self._parts(batch)
        reference = self._reference_logps(batch)
        with torch.set_grad_enabled(len(parts) == 1):
            forwards = [self._forward(step, part, rows) for rows, part in parts]
        terms = self._terms(batch, forwards, reference, classes)
        out = self._method.total_loss(terms)
        (slopes,) = torch.autograd.grad(out.loss, terms.policy_logps)
        rows = self._processes.rows(len(slopes))
        slopes = slopes[rows.start : rows.stop]
        for parameter in self._parameters:
            parameter.grad = torch.zeros_like(parameter)
        for (span, part), forward in zip(parts, forwards, strict=True):
            # a part's activations are made anew just before its backward pass, unless it is the only one
            logps = forward.logps if len(parts) == 1 else self._forward(step, part, span).logps
            logps.backward(slopes[span.start : span.stop])
        self._processes.add([parameter.grad for parameter in self._parameters])
        return out, terms

    def forward(self, batch: Batch) -> Forward:
        """The pass of a batch in the model's current mode."""
        with matrix_products(self._config.precision, self._policy.device):
            logits, other_logits = self._policy.model.completion_logits(
                batch.inputs.embed(self._policy.model),
                batch.inputs.prompt_ids,
                batch.context,
                batch.others.rows,
                batch.others.tokens,
                self._config.gradient_checkpointing,
            )
        decoded = logits.detach().argmax(-1)
        error = (self._centres[decoded] - batch.actions).abs() * batch.mask
        return Forward(
            logps=sequence_logps(logits, batch.tokens, batch.mask, self._scores),
            l1=error.sum(-1) / batch.mask.sum(-1).clamp(min=1),
            edges=self._edge_tokens.shares(decoded, batch.mask),
            other_logps=sequence_logps(other_logits, batch.others.tokens, batch.others.mask, self._scores),
        )

    def _forward(self, step: int, part: Batch, rows: range) -> Forward:
        """`forward` in training mode; the same numbers are dropped each time it is called for the same rows."""
        if not self._config.lora_dropout:
            return self.forward(part)
        words = np.random.SeedSequence([self._config.seed, step, self._processes.rank, rows.start]).generate_state(1)
        torch.manual_seed(int(words[0]))
        self._policy.model.train()
        try:
            return self.forward(part)
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
        zeros = torch.zeros(len(batch) + len(batch.others.rows), device=batch.tokens.device)
        return zeros[: len(batch)], zeros[len(batch) :]

    def _terms(
        self,
        batch: Batch,
        forwards: Sequence[Forward],
        reference: tuple[Tensor, Tensor],
        classes: Sequence[SampleClass],
    ) -> Terms:
        """Terms of all rows of all processes; only `policy_logps` takes a gradient."""
        logps, l1 = torch.cat([f.logps.detach() for f in forwards]), torch.cat([f.l1 for f in forwards])
        edges = torch.cat([f.edges for f in forwards])
        other_logps = torch.cat([f.other_logps for f in forwards])
        ref_logps, other_ref_logps = reference
        # every process sends as many numbers: a row without a mismatched action says so with NaN
        others = logps.new_full((2, len(logps)), torch.nan)
        others[:, list(batch.others.rows)] = torch.stack([other_logps, other_ref_logps])
        has_other = torch.zeros_like(logps)
        has_other[list(batch.others.rows)] = 1.0
        rows = torch.stack([logps, ref_logps, l1, edges, batch.mask.sum(-1).float(), has_other, *others], dim=1)
        logps, ref_logps, l1, edges, counts, has_other, kl_policy, kl_ref = self._processes.gather(rows).unbind(1)
        chosen = has_other > 0
        return Terms(
            policy_logps=logps.contiguous().requires_grad_(),
            ref_logps=ref_logps,
            desirable=torch.tensor([name is not SampleClass.UNDESIRABLE for name in classes], device=logps.device),
            classes=tuple(classes),
            l1=l1,
            edges=edges,
            token_counts=counts,
            kl_policy_logps=kl_policy[chosen],
            kl_ref_logps=kl_ref[chosen],
        )
