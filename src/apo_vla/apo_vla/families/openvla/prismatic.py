"""The common part of OpenVLA and OpenVLA-OFT: vision towers, a projector, Llama 2; names of the checkpoints.

Sequence: BOS, image tokens, rest of the prompt, then the action. Bin b of an action is token 31999 - b.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from apo_vla.actions.classes import ActionClasses
from apo_vla.actions.codec import ActionCodec
from apo_vla.decoding.static import StaticDecoder
from apo_vla.families.openvla.images import ImageSettings
from apo_vla.families.openvla.processor import OpenVlaProcessor
from apo_vla.families.openvla.vit import VisionTower, VitShape
from apo_vla.inputs.camera_views import CameraViews
from apo_vla.likelihood.bins import BinLikelihood
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import ActionLikelihood
from apo_vla.model import ModelCapabilities, Statistics


@dataclass(frozen=True)
class OpenVlaConfig:
    """Inputs and outputs of the model."""

    views: CameraViews
    state_size: int  # numbers of proprioception; 0 for none
    action_size: int
    chunk: int
    period_ns: int
    image: ImageSettings
    prompt: str  # with {instruction}
    prompt_length: int  # tokens at most
    pad_id: int  # also the end of the tokenizer's own vocabulary
    action_end: int  # token after the last action token
    bins: int = 256

    @property
    def cameras(self) -> tuple[str, ...]:
        """Contract names, in the order of the model's images."""
        return self.views.cameras

    @property
    def action_tokens(self) -> int:
        """Tokens of a chunk."""
        return self.chunk * self.action_size


class VisionBackbone(nn.Module):
    """One or two towers; images (B, 3 * towers, S, S) -> (B, patches, sum of widths)."""

    def __init__(self, shapes: tuple[VitShape, ...]):
        super().__init__()
        self.featurizer = VisionTower(shapes[0])
        self.fused_featurizer = VisionTower(shapes[1]) if len(shapes) == 2 else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first = self.featurizer(images[:, :3])
        if self.fused_featurizer is None:
            return first
        return torch.cat([first, self.fused_featurizer(images[:, 3:])], dim=-1)


class Projector(nn.Module):
    """Image features to the language model's width: two layers behind one tower, three behind two."""

    def __init__(self, width_in: int, width_out: int, fused: bool):
        super().__init__()
        between = 4 * width_in if fused else width_out
        self.fc1 = nn.Linear(width_in, between)
        self.fc2 = nn.Linear(between, width_out)
        self.fc3 = nn.Linear(width_out, width_out) if fused else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc2(F.gelu(self.fc1(x)))
        return x if self.fc3 is None else self.fc3(F.gelu(x))


class PrismaticVla(nn.Module):
    """The part of a `VlaModel` up to the action.

    Args:
        config: inputs and outputs.
        towers: sizes of the vision towers.
        text: of the language model.
    """

    capabilities = ModelCapabilities(separate_cameras=True)
    decoder: StaticDecoder | None = None  # where it decodes tokens

    def __init__(self, config: OpenVlaConfig, towers: tuple[VitShape, ...], text: LlamaConfig):
        super().__init__()
        self.config = config
        self._classes: ActionClasses | None = None
        self.vision_backbone = VisionBackbone(towers)
        self.projector = Projector(sum(t.width for t in towers), text.hidden_size, len(towers) == 2)
        self.language_model = LlamaForCausalLM(text)

    @property
    def classes(self) -> ActionClasses | None:
        """Which tokens are one action, see `VlaModel`."""
        return self._classes

    @classes.setter
    def classes(self, classes: ActionClasses | None) -> None:
        self._classes = classes
        if self.decoder is not None:
            self.decoder.classes = classes

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return self.projector.fc1.weight.dtype

    def make_processor(self, tokenizer: Tokenizer, statistics: Statistics) -> OpenVlaProcessor:
        """Images by PIL, prompt with BOS, bins."""
        c = self.config
        return OpenVlaProcessor(
            c.views, c.image, c.prompt, c.prompt_length, c.pad_id, tokenizer, statistics, statistics.codec(c.bins)
        )

    def make_likelihood(
        self, codec: ActionCodec, settings: LikelihoodSettings, device: torch.device | str
    ) -> ActionLikelihood:
        """Of bins."""
        return BinLikelihood(codec, settings, device)

    def features(self, images: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Projected image tokens.

        Args:
            images: float32 (B, cameras, 3 * towers, S, S).
            state: float32 (B, n); without a part here.

        Returns:
            (B, cameras * patches, d), in the model's precision.
        """
        return self.join_features([self.camera_tokens(i, images[:, i]) for i in range(images.shape[1])], state)

    def camera_tokens(self, camera: int, images: torch.Tensor) -> torch.Tensor:
        """The part of `features` that images (B, 3 * towers, S, S) of one camera make, (B, patches, d)."""
        return self.projector(self.vision_backbone(images.to(self.dtype)))

    def join_features(self, tokens: list[torch.Tensor], state: torch.Tensor) -> torch.Tensor:
        """Features (B, N, d) of every camera's tokens and the state (B, n)."""
        return torch.cat(tokens, dim=1)

    def prefix(self, features: torch.Tensor, prompt_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Embeddings (B, T, d) before the action tokens, and their mask bool (B, T), None where nothing is padded."""
        known = prompt_ids != self.config.pad_id
        used = known.any(dim=0)  # columns that are padding in every row cost nothing
        prompt_ids, known = prompt_ids[:, used], known[:, used]
        prompt = self.language_model.model.embed_tokens(prompt_ids)
        inputs = torch.cat([prompt[:, :1], features.to(prompt.dtype), prompt[:, 1:]], dim=1)
        if bool(known.all()):
            return inputs, None
        return inputs, torch.cat([known[:, :1], known.new_ones(features.shape[:2]), known[:, 1:]], dim=1)

    def embedding_rows(self) -> torch.Tensor:
        """Input rows (bins, d) of the action tokens, by bin."""
        return self._action_rows(self.language_model.model.embed_tokens.weight)

    def head_rows(self) -> torch.Tensor:
        """Output rows (bins, d) of the action tokens, by bin."""
        return self._action_rows(self.language_model.lm_head.weight)

    def _action_rows(self, rows: torch.Tensor) -> torch.Tensor:
        end = self.config.action_end
        return rows[end - self.config.bins : end].flip(0)
