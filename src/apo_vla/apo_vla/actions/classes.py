"""Log-probabilities of actions where several tokens are one action: the probabilities of a class add up."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class ActionClasses:
    """Which tokens of a dimension decode to one value; A dimensions, K tokens.

    Args:
        classes: int64 (A, K), see `ActionCodec.classes`.
        device: of the logits.
    """

    def __init__(self, classes: np.ndarray, device: torch.device | str = "cpu"):
        self._classes = torch.tensor(classes, dtype=torch.int64, device=device)
        self._size = len(classes)

    def log_probs(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """Log-probability of each token's class, (B, L) nats, in the type of `logits`.

        Args:
            logits: (B, L, K); token i is of dimension i % A.
            tokens: int64 (B, L) in [0, K).
        """
        classes = self._of_positions(tokens.shape[1])
        own = classes.expand(len(tokens), -1, -1).gather(-1, tokens.unsqueeze(-1))
        within = logits.masked_fill(classes != own, -torch.inf).logsumexp(-1)
        return within - logits.logsumexp(-1)

    def entropies(self, logits: Tensor) -> Tensor:
        """Entropy of the distribution over actions, (B, L) nats, of logits (B, L, K)."""
        classes = self._of_positions(logits.shape[1]).expand(len(logits), -1, -1)
        shares = torch.zeros_like(logits).scatter_add(-1, classes, logits.softmax(-1))
        return -torch.xlogy(shares, shares).sum(-1)

    def _of_positions(self, length: int) -> Tensor:
        """(1, L, K)."""
        return self._classes[torch.arange(length, device=self._classes.device) % self._size].unsqueeze(0)
