"""What the episodes since the start of the recorder took of the operators. Pure."""

from __future__ import annotations

from apo_episodes.inspection.attention import Watched
from apo_episodes.inspection.ledger import Round, in_order


class RunningLedger:
    """The rounds of `apo_episodes.inspection.ledger`, of episodes that come and may be taken back."""

    def __init__(self) -> None:
        self._rounds: dict[int | None, Round] = {}
        self.last_id = ""  # the episode counted last; empty: none, or it was taken back
        self.last: Round | None = None

    def add(self, episode_id: str, watched: Watched) -> None:
        """Counts an episode."""
        one = Round.of(watched)
        before = self._rounds.get(one.adapter)
        self._rounds[one.adapter] = one if before is None else before.plus(one)
        self.last_id, self.last = episode_id, one

    def take_back(self, episode_id: str, watched: Watched) -> None:
        """Counts an episode no more."""
        gone = Round.of(watched)
        left = self._rounds[gone.adapter].plus(gone, sign=-1)
        self._rounds[gone.adapter] = left
        if not left.episodes:
            del self._rounds[gone.adapter]
        if episode_id == self.last_id:
            self.last_id, self.last = "", None

    @property
    def rounds(self) -> list[Round]:
        """The totals, in the order of `in_order`."""
        return in_order(self._rounds.values())
