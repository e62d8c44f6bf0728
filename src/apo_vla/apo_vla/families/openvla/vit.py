"""Vision towers of OpenVLA: timm's ViT (DINOv2 with registers, SigLIP) under the parameter names of the checkpoints.

The features are those of the second-to-last block, without the final norm and without class and register tokens
(arXiv 2402.07865, section 3); the parts behind it are in the checkpoints, and never built here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from apo_core.errors import CheckpointError

_HEADS = {"vit_large_patch14_reg4_dinov2": 16, "vit_so400m_patch14_siglip": 16}  # {start of timm's name: heads}
_EPS = 1e-6
_BLOCK = re.compile(r"blocks\.(\d+)\.")
UNUSED = ("norm.", "attn_pool.", "fc_norm.", "head.")  # behind the features, besides the last block


@dataclass(frozen=True)
class VitShape:
    """Sizes of one tower."""

    width: int
    blocks: int  # in the checkpoint; one less is computed
    heads: int
    mlp: int
    patch: int  # pixels a side
    patches: int  # tokens of an image
    registers: int  # 0 for none; a tower with registers has a class token too
    layer_scale: bool

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return math.isqrt(self.patches) * self.patch


def vit_shape(timm_id: str, shapes: Mapping[str, tuple[int, ...]], source: str) -> VitShape:
    """Sizes of a tower, read from its tensors.

    Args:
        timm_id: its name in config.json, which determines the number of heads.
        shapes: {name within the tower: shape}.
        source: file, for messages.

    Raises:
        CheckpointError: a tower of another kind, or a tensor that determines a size is missing.
    """
    heads = next((count for start, count in _HEADS.items() if timm_id.startswith(start)), None)
    if heads is None:
        raise CheckpointError(f"{source}: vision tower {timm_id!r} is not supported; known: {', '.join(_HEADS)}")
    try:
        width, _, patch, _ = shapes["patch_embed.proj.weight"]
        return VitShape(
            width=width,
            blocks=1 + max(int(match[1]) for name in shapes if (match := _BLOCK.match(name))),
            heads=heads,
            mlp=shapes["blocks.0.mlp.fc1.weight"][0],
            patch=patch,
            patches=shapes["pos_embed"][1],
            registers=shapes["reg_token"][1] if "reg_token" in shapes else 0,
            layer_scale="blocks.0.ls1.scale_factor" in shapes,
        )
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"{source}: vision tower {timm_id!r} lacks {error}") from None


def is_unused(name: str, shape: VitShape) -> bool:
    """Whether a tensor of the tower (name within it) lies behind its features."""
    return name.startswith((*UNUSED, f"blocks.{shape.blocks - 1}."))


class LayerScale(nn.Module):
    """A factor for each number, (B, n, width)."""

    def __init__(self, width: int):
        super().__init__()
        self.scale_factor = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale_factor


class Attention(nn.Module):
    """Self-attention, (B, n, width)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, count, width = x.shape
        q, k, v = self.qkv(x).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(batch, count, width))


class Mlp(nn.Module):
    """Two layers around a GELU, (B, n, width)."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A transformer block, (B, n, width)."""

    def __init__(self, shape: VitShape):
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, eps=_EPS)
        self.attn = Attention(shape.width, shape.heads)
        self.ls1 = LayerScale(shape.width) if shape.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(shape.width, eps=_EPS)
        self.mlp = Mlp(shape.width, shape.mlp)
        self.ls2 = LayerScale(shape.width) if shape.layer_scale else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """Images (B, 3, S, S) -> one token for each patch, (B, patches, width)."""

    def __init__(self, shape: VitShape):
        super().__init__()
        self.proj = nn.Conv2d(3, shape.width, shape.patch, stride=shape.patch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class VisionTower(nn.Module):
    """Images (B, 3, S, S) -> features (B, patches, width)."""

    def __init__(self, shape: VitShape):
        super().__init__()
        self.shape = shape
        self.patch_embed = PatchEmbed(shape)
        self.pos_embed = nn.Parameter(torch.zeros(1, shape.patches, shape.width))
        if shape.registers:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.width))
            self.reg_token = nn.Parameter(torch.zeros(1, shape.registers, shape.width))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.blocks - 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patch_embed(images) + self.pos_embed
        if self.shape.registers:
            prefix = torch.cat([self.cls_token, self.reg_token], dim=1).expand(len(x), -1, -1)
            x = torch.cat([prefix, x], dim=1)
        for block in self.blocks:
            x = block(x)
        return x[:, -self.shape.patches :]
