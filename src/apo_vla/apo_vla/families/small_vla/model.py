"""A small vision-language-action model of OpenVLA's shape: image and state tokens, prompt, Llama decoder, bins.

Sequence: camera 1 tokens, camera 2 tokens, ..., state token, prompt (padded on the left), action tokens. Causal. The
action token of dimension a in row r of the chunk stands at r * A + a.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import LlamaConfig, LlamaModel

from apo_vla.actions.classes import ActionClasses
from apo_vla.actions.codec import ActionCodec
from apo_vla.actions.nearness import nearness_of_bins
from apo_vla.decoding.static import StaticDecoder
from apo_vla.decoding.teacher_forcing import Completions, hidden_states
from apo_vla.families.small_vla.encoders import ImageEncoder
from apo_vla.families.small_vla.processor import SmallVlaProcessor
from apo_vla.families.small_vla.shape import SmallShape
from apo_vla.likelihood.bins import BinLikelihood
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import ActionLikelihood
from apo_vla.model import ModelCapabilities, Statistics

FAMILY = "apo_small_vla"


@dataclass(frozen=True)
class SmallVlaConfig(SmallShape):
    """See `SmallShape`."""

    family: ClassVar[str] = FAMILY
    optional: ClassVar[Mapping[str, Any]] = {"image_tokens": 0, "decode_tolerance": 0.0}

    bins: int = 256
    decode_tolerance: float = 0.0  # s of `nearness_of_bins`, bins; 0: the likeliest bin is chosen

    def faults(self) -> list[str]:
        """Everything wrong with the values."""
        faults = super().faults()
        if not 0.0 <= self.decode_tolerance <= self.bins:
            faults.append(f"decode_tolerance = {self.decode_tolerance!r} must be 0..{self.bins}")
        return faults


class SmallVla(nn.Module):
    """The model. All weights are float32 in memory, whatever the checkpoint's precision."""

    capabilities = ModelCapabilities(decodes_tokens=True, separate_cameras=True)

    def __init__(self, config: SmallVlaConfig):
        super().__init__()
        self.config = config
        d = config.hidden
        self.image_encoders = nn.ModuleList(ImageEncoder(config) for _ in config.cameras)
        self.state_projector = nn.Sequential(nn.Linear(config.state_size, d), nn.GELU(), nn.Linear(d, d))
        self.language_model = LlamaModel(
            LlamaConfig(
                vocab_size=config.prompt_vocabulary + config.bins,
                hidden_size=d,
                intermediate_size=config.mlp,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                num_key_value_heads=config.heads,
                max_position_embeddings=config.feature_tokens + config.prompt_length + config.action_tokens,
                rms_norm_eps=1e-6,
                attn_implementation="sdpa",
                use_cache=False,
            )
        )
        self.action_head = nn.Linear(d, config.bins, bias=False)
        nn.init.normal_(self.action_head.weight, std=0.02)
        nearness = nearness_of_bins(config.bins, config.decode_tolerance)
        self.decoder = StaticDecoder(self.language_model, nearness=nearness)

    @property
    def classes(self) -> ActionClasses | None:
        """Which tokens are one action, see `VlaModel`."""
        return self.decoder.classes

    @classes.setter
    def classes(self, classes: ActionClasses | None) -> None:
        self.decoder.classes = classes

    def make_processor(self, tokenizer: Tokenizer, statistics: Statistics) -> SmallVlaProcessor:
        """Inputs of this model, for training data of these statistics."""
        c = self.config
        return SmallVlaProcessor(c.cameras, c.image_size, c.prompt_length, tokenizer, statistics, c.bins)

    def make_likelihood(
        self, codec: ActionCodec, settings: LikelihoodSettings, device: torch.device | str
    ) -> ActionLikelihood:
        """Of bins."""
        return BinLikelihood(codec, settings, device)

    def features(self, images: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Everything before the prompt; no LoRA reaches it, so it may be cached while the base model stays.

        Args:
            images: float32 (B, cameras, 3, S, S), from `process_image`.
            state: float32 (B, n), from `DatasetStatistics.normalise_state`.

        Returns:
            float32 (B, N, d).
        """
        tokens = [self.camera_tokens(i, images[:, i]) for i in range(len(self.image_encoders))]
        return self.join_features(tokens, state)

    def camera_tokens(self, camera: int, images: torch.Tensor) -> torch.Tensor:
        """The part of `features` that images (B, 3, S, S) of one camera make, (B, n, d)."""
        return self.image_encoders[camera](images.to(self.action_head.weight.dtype))

    def join_features(self, tokens: list[torch.Tensor], state: torch.Tensor) -> torch.Tensor:
        """Features (B, N, d) of every camera's tokens and the state (B, n)."""
        return torch.cat([*tokens, self.state_projector(state.to(tokens[0].dtype))[:, None]], dim=1)

    def action_logits(
        self, features: torch.Tensor, prompt_ids: torch.Tensor, action_tokens: torch.Tensor
    ) -> torch.Tensor:
        """Teacher-forced logits in one pass.

        Args:
            features: (B, N, d) of `features`.
            prompt_ids: int64 (B, P).
            action_tokens: int64 (B, L) bins 0..bins-1; L up to chunk * A. Token i is predicted from tokens before i.

        Returns:
            float32 (B, L, bins).
        """
        return self.completion_logits(features, prompt_ids, action_tokens)[0]

    def completion_logits(
        self,
        features: torch.Tensor,
        prompt_ids: torch.Tensor,
        action_tokens: torch.Tensor,
        rows: Sequence[int] = (),
        other_tokens: torch.Tensor | None = None,
        checkpointing: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`action_logits`, and in the same pass the logits of other actions after the same observations.

        Args:
            features: (B, N, d).
            prompt_ids: int64 (B, P).
            action_tokens: int64 (B, L).
            rows: R rows of the batch that have another action.
            other_tokens: int64 (R, L), teacher-forced in place of the row's own action; without gradient.
            checkpointing: saves memory in the backward pass for the price of a second forward pass.

        Returns:
            float32 (B, L, bins) and (R, L, bins).
        """
        others = None
        if len(rows) and other_tokens is not None:
            others = Completions(rows, self._embed_actions(other_tokens[:, :-1]))
        hidden, other_hidden = hidden_states(
            self.language_model,
            self.prefix(features, prompt_ids),
            self._embed_actions(action_tokens[:, :-1]),
            others,
            checkpointing,
        )
        return self.action_head(hidden).float(), self.action_head(other_hidden).float()

    def generate(self, features: torch.Tensor, prompt_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Greedy decoding of a chunk; with `decode_tolerance` 0 the argmax of `action_logits` on its own tokens.

        Args:
            features: (B, N, d).
            prompt_ids: int64 (B, P).

        Returns:
            tokens int64 (B, chunk * A), log_probs float32 (B, chunk * A) in nats.
        """
        with torch.inference_mode():
            prefix, steps = self.prefix(features, prompt_ids), self.config.action_tokens
            decoded = self.decoder.generate(prefix, self.embedding_rows(), self.head_rows(), steps)
        # clones are ordinary tensors, usable in training
        return decoded.tokens.clone(), decoded.log_probs.clone()

    def prefix(self, features: torch.Tensor, prompt_ids: torch.Tensor) -> torch.Tensor:
        """Embeddings of everything before the action tokens, (B, N + P, d)."""
        return torch.cat([features, self.language_model.embed_tokens(prompt_ids)], dim=1)

    def prefix_of_one(self, features: torch.Tensor, prompt_ids: torch.Tensor) -> torch.Tensor:
        """`prefix` of one observation, (1, T, d)."""
        return self.prefix(features, prompt_ids)

    def embedding_rows(self) -> torch.Tensor:
        """Input rows (bins, d) of the action tokens, by bin."""
        return self.language_model.embed_tokens.weight[self.config.prompt_vocabulary :]

    def head_rows(self) -> torch.Tensor:
        """Output rows (bins, d) of the action tokens, by bin."""
        return self.action_head.weight

    def _embed_actions(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.language_model.embed_tokens(tokens + self.config.prompt_vocabulary)
