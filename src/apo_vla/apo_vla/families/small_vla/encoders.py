"""Image encoders of the small policies."""

from __future__ import annotations

import torch
from torch import nn

from apo_vla.families.small_vla.shape import SmallShape

_POOLED_CHANNELS = 48  # of each square, where tokens are of the whole image
_POOLED_HIDDEN = 256


class ImageEncoder(nn.Module):
    """Images (B, 3, S, S) -> tokens (B, n, hidden): one for each square of 16 pixels, or `image_tokens` of the whole.

    A token of the whole image can hold a position, which the decoder must otherwise compose from tokens of squares.
    """

    def __init__(self, config: SmallShape):
        super().__init__()
        stages, last = [], 3
        for width in (*config.image_channels, config.hidden):
            stages += [nn.Conv2d(last, width, 3, stride=2, padding=1), nn.GroupNorm(8, width), nn.SiLU()]
            last = width
        self.stages = nn.Sequential(*stages)
        self._tokens = config.image_tokens
        if self._tokens:
            self.pool = nn.Sequential(
                nn.Conv2d(config.hidden, _POOLED_CHANNELS, 1),
                nn.Flatten(),
                nn.Linear(_POOLED_CHANNELS * config.squares, _POOLED_HIDDEN),
                nn.SiLU(),
                nn.Linear(_POOLED_HIDDEN, config.hidden * self._tokens),
            )
        else:
            self.project = nn.Linear(config.hidden, config.hidden)
            self.position = nn.Parameter(torch.randn(config.squares, config.hidden) * 0.02)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = self.stages(images)
        if self._tokens:
            return self.pool(seen).unflatten(1, (self._tokens, -1))
        return self.project(seen.flatten(2).transpose(1, 2)) + self.position
