"""What one episode took of an operator, by the facts of its steps. Pure.

Attention is the length of an episode, since somebody has to watch a policy that is taken over from; driving is its part
under the operator's hand. A demonstration is driven as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from apo_core.types import EpisodeKind
from apo_episodes.labeling import intervention_share, takeovers


@dataclass(frozen=True, slots=True)
class Watched:
    """An episode as the ledger counts it."""

    outcome: str
    seconds: float  # steps / control rate
    takeovers: int
    intervention_share: float  # 0..1
    adapter_versions: tuple[int, ...]  # of the policy's actions, ascending; 0 is the base policy
    kind: str = EpisodeKind.INTERACTION

    @classmethod
    def of_steps(
        cls,
        outcome: str,
        sources: Sequence[str],
        adapter_versions: Iterable[int],
        rate_hz: float,
        kind: str = EpisodeKind.INTERACTION,
    ) -> Watched:
        """An episode by its steps.

        Args:
            outcome: an Outcome.
            sources: who acted in each step (ControlSource).
            adapter_versions: of each step.
            rate_hz: control rate.
            kind: EpisodeKind.
        """
        return cls(
            outcome=str(outcome),
            seconds=round(len(sources) / rate_hz, 3),
            # a demonstration has no takeover
            takeovers=0 if kind == EpisodeKind.DEMONSTRATION else len(takeovers(sources)),
            intervention_share=round(intervention_share(sources), 4),
            adapter_versions=tuple(sorted(set(adapter_versions))),
            kind=str(kind),
        )
