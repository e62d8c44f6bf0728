"""Tokens at the edges of an action's range: a policy that degenerates saturates."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from apo_vla.actions.codec import ActionCodec

_FEWEST_CLASSES = 3  # with two, every token is an edge


class EdgeTokens:
    """Counts tokens of the first or last class of their dimension.

    Left out are dimensions that pass through un-normalised, where the edges are the usual values (gripper), and
    constant ones.

    Args:
        codec: of the actions; A dimensions, K bins.
        device: of the tokens.
    """

    def __init__(self, codec: ActionCodec, device: torch.device | str = "cpu"):
        classes = codec.classes
        counted = codec.mask & np.array([len(np.unique(row)) >= _FEWEST_CLASSES for row in classes])
        edges = (classes == classes[:, :1]) | (classes == classes[:, -1:])
        self._counted = torch.tensor(counted, device=device)  # bool (A,)
        self._edges = torch.tensor(edges & counted[:, None], device=device)  # bool (A, K)

    def shares(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Share of edge tokens among those that count, (B,) 0..1; 0 where none counts.

        Args:
            tokens: int64 (B, L) bins; token i is of dimension i % A.
            mask: bool (B, L), true where a token counts.
        """
        dimensions = torch.arange(tokens.shape[1], device=tokens.device) % len(self._counted)
        at_edge = self._edges[dimensions, tokens] & mask
        counted = self._counted[dimensions] & mask
        return at_edge.sum(-1) / counted.sum(-1).clamp(min=1)
