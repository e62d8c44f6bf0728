"""The reference policy of a run: the policy of the round before, held as a second set of adapter tensors."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from apo_trainer.data.batches import Batch
from apo_trainer.data.features import fixed_batches
from apo_trainer.evaluation.precision import matrix_products
from apo_trainer.evaluation.reference_cache import ReferenceCache
from apo_trainer.losses import sequence_logps
from apo_trainer.losses.action_tolerance import ActionScores
from apo_vla.policy import VlaPolicy

_Action = tuple[int, Tensor, Tensor, Tensor]  # row of a batch; tokens, mask and prefix (L,) of an action seen from it
_SCORE = "action classes"  # changes when log-probabilities of the same policy and actions do


class Reference:
    """pi_ref, which never changes within a run. It shares the base model with the policy that is trained.

    Args:
        policy: with the adapter attached; its tensors as they are now are the reference.
        parameters: {name: parameter} of the adapter.
    """

    def __init__(self, policy: VlaPolicy, parameters: Mapping[str, nn.Parameter]):
        self._policy = policy
        self._parameters = list(parameters.values())
        self._tensors = [p.detach().clone() for p in self._parameters]
        self._names = list(parameters)

    def sha256(self, *facts: object) -> str:
        """Hash of everything that a log-probability depends on beside observation and action; `facts` joins in."""
        digest = hashlib.sha256(
            repr((self._policy.base_sha256, self._policy.statistics_sha256, torch.__version__, _SCORE, *facts)).encode()
        )
        for name, tensor in zip(self._names, self._tensors, strict=True):
            digest.update(name.encode() + tensor.float().cpu().numpy().tobytes())
        return digest.hexdigest()

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """The model is the reference inside; never enter it between a forward pass and its backward pass."""
        current = [p.detach().clone() for p in self._parameters]
        with torch.no_grad():
            torch._foreach_copy_(self._parameters, self._tensors)
            try:
                yield
            finally:
                torch._foreach_copy_(self._parameters, current)


class ReferenceLogps:
    """Log-probabilities under the reference, each computed once.

    Args:
        policy: the model.
        reference: its weights.
        cache: values that are known.
        precision: as the policy is trained, or their difference would be that of the precisions.
        scores: as the policy is trained; None: of the policy's own bins.
        micro_batch_size: rows that go through the model at once where nothing is kept; 0: the whole batch.
    """

    def __init__(
        self,
        policy: VlaPolicy,
        reference: Reference,
        cache: ReferenceCache,
        precision: str = "float32",
        scores: ActionScores | None = None,
        micro_batch_size: int = 0,
    ):
        self._policy, self._reference, self._cache = policy, reference, cache
        self._precision, self._scores = precision, scores or policy.classes
        self._micro_batch_size = micro_batch_size

    @torch.no_grad()
    def of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log pi_ref(a|o), (B,), and log pi_ref(a'|o), (R,), of a batch; nats.

        After a noisy prefix nothing is kept, as the same noise never comes again.
        """
        others = batch.others
        own = list(zip(range(len(batch)), batch.tokens, batch.mask, batch.context, strict=True))
        strange = list(zip(others.rows, others.tokens, others.mask, others.tokens, strict=True))
        if batch.prefix is None:
            known = self._known(batch, [*batch.keys, *others.keys], own + strange)
        else:
            known = self._fresh(batch, own + strange)
        values = torch.tensor(known, dtype=torch.float32, device=batch.tokens.device)
        return values[: len(batch)], values[len(batch) :]

    def _fresh(self, batch: Batch, actions: Sequence[_Action]) -> list[float]:
        """Of actions that are scored once and never again."""
        size = self._micro_batch_size or len(actions)
        with self._as_reference():
            parts = [self._score(batch, actions[first : first + size]) for first in range(0, len(actions), size)]
        return [value for part in parts for value in part]

    def _known(self, batch: Batch, keys: Sequence[bytes], actions: Sequence[_Action]) -> list[float]:
        """Of actions, from the cache where they are in it."""
        missing = {key: action for key, action in zip(keys, actions, strict=True) if self._cache.get(key) is None}
        if missing:
            values: list[float] = []
            with self._as_reference():
                # a cached value must not depend on the other actions of its pass
                for part, count in fixed_batches(list(missing.values())):
                    values += self._score(batch, part)[:count]
            self._cache.put(dict(zip(missing, values, strict=True)))
        return [self._cache[key] for key in keys]

    @contextlib.contextmanager
    def _as_reference(self) -> Iterator[None]:
        with self._reference.active(), matrix_products(self._precision, self._policy.device):
            yield

    def _score(self, batch: Batch, actions: Sequence[_Action]) -> list[float]:
        """Of actions in one pass."""
        rows, *parts = zip(*actions, strict=True)
        tokens, mask, prefix = map(torch.stack, parts)
        seen = batch.inputs.rows(list(rows))
        logits = self._policy.model.action_logits(seen.embed(self._policy.model), seen.prompt_ids, prefix)
        return sequence_logps(logits, tokens, mask, self._scores).tolist()
