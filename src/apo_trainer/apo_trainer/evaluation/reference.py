"""The reference policy of a run: the policy of the round before, held as a second set of adapter tensors."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from apo_trainer.data.batches import Batch
from apo_trainer.data.features import fixed_batches
from apo_trainer.evaluation.precision import matrix_products
from apo_trainer.evaluation.reference_cache import ReferenceCache
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import Pass, Targets
from apo_vla.policy import VlaPolicy


@dataclass(frozen=True, slots=True)
class _Action:
    """An action seen from a row of a batch."""

    row: int
    target: Targets  # of one row
    context: Tensor | None  # (1, L), see `Pass`


def _joined(actions: Sequence[_Action]) -> tuple[Targets, Tensor | None]:
    """Targets and contexts of actions that are equally long."""
    parts = {
        spec.name: torch.cat([getattr(action.target, spec.name) for action in actions]) for spec in fields(Targets)
    }
    contexts = [action.context for action in actions if action.context is not None]
    return Targets(**parts), torch.cat(contexts) if contexts else None


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
            repr((self._policy.base_sha256, self._policy.statistics_sha256, torch.__version__, *facts)).encode()
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
        likelihood: as the policy is trained; None: of the policy's own bins.
        micro_batch_size: rows that go through the model at once where nothing is kept; 0: the whole batch.
    """

    def __init__(
        self,
        policy: VlaPolicy,
        reference: Reference,
        cache: ReferenceCache,
        precision: str = "float32",
        likelihood: LikelihoodSettings | None = None,
        micro_batch_size: int = 0,
    ):
        self._policy, self._reference, self._cache = policy, reference, cache
        self._precision, self._likelihood = precision, policy.likelihood(likelihood)
        self._micro_batch_size = micro_batch_size

    @torch.no_grad()
    def of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log pi_ref(a|o), (B,), and log pi_ref(a'|o), (R,), of a batch; nats.

        After a noisy prefix nothing is kept, as the same noise never comes again.
        """
        others = batch.others
        own = [
            _Action(row, batch.targets.rows([row]), None if batch.context is None else batch.context[row : row + 1])
            for row in range(len(batch))
        ]
        # an action of another sample is scored after its own tokens; in a pass with noisy ones they are its context
        strange = [
            _Action(row, target, None if batch.context is None else target.outputs)
            for place, row in enumerate(others.rows)
            for target in [others.targets.rows([place])]
        ]
        if batch.context is None:
            known = self._known(batch, [*batch.keys, *others.keys], own + strange)
        else:
            known = self._fresh(batch, own + strange)
        values = torch.tensor(known, dtype=torch.float32, device=self._policy.device)
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
        """Of actions in passes of equally long ones."""
        values = [0.0] * len(actions)
        by_length: dict[int, list[int]] = {}
        for place, action in enumerate(actions):
            by_length.setdefault(action.target.outputs.shape[1], []).append(place)
        for places in by_length.values():
            targets, context = _joined([actions[place] for place in places])
            seen = batch.inputs.rows([actions[place].row for place in places])
            shown = Pass(seen.embed(self._policy.model), seen.prompt_ids, context)
            found = self._likelihood.scores(self._policy.model, shown, targets).logps.tolist()
            for place, value in zip(places, found, strict=True):
                values[place] = value
        return values
