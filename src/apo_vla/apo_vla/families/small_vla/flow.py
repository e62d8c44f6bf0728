"""A small vision-language-action model of pi0's shape (arXiv 2410.24164): a prefix, and an expert that turns noise into
actions.

Prefix: camera 1 tokens, camera 2 tokens, ..., state token, prompt (padded on the left); causal. The expert has one
token for each row of the chunk, which sees the prefix and the other rows. Its velocity is that of flow matching.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaModel

from apo_vla.actions.classes import ActionClasses
from apo_vla.actions.codec import ActionCodec
from apo_vla.decoding.prefix_cache import PrefixCache, cache_prefix, expert_states
from apo_vla.families.small_vla.encoders import ImageEncoder
from apo_vla.families.small_vla.processor import SmallFlowProcessor
from apo_vla.families.small_vla.shape import SmallShape
from apo_vla.likelihood.flow import FlowLikelihood, embed_time, sample
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import ActionLikelihood
from apo_vla.model import ModelCapabilities, Statistics

FAMILY = "apo_small_flow"
_NOISE_SEED = 0


@dataclass(frozen=True)
class SmallFlowConfig(SmallShape):
    """See `SmallShape`."""

    family: ClassVar[str] = FAMILY
    optional: ClassVar[Mapping[str, Any]] = {}

    flow_steps: int = 10  # Euler steps from noise to the action

    @property
    def bins(self) -> int:
        """Of the codec, which only normalises here."""
        return 256


class SmallFlow(nn.Module):
    """See `apo_vla.model.VlaModel`. All weights are float32 in memory, whatever the checkpoint's precision.

    Sampling begins at the same noise in every call, so that an observation has one action and consecutive chunks are of
    one mode.
    """

    capabilities = ModelCapabilities(separate_cameras=True, takes_rows=True)
    lora_scope = ("language_model.", "action_expert.")
    classes: ActionClasses | None = None

    def __init__(self, config: SmallFlowConfig):
        super().__init__()
        self.config = config
        d, a = config.hidden, config.action_size
        self.image_encoders = nn.ModuleList(ImageEncoder(config) for _ in config.cameras)
        self.state_projector = nn.Sequential(nn.Linear(config.state_size, d), nn.GELU(), nn.Linear(d, d))
        length = config.feature_tokens + config.prompt_length
        self.language_model = LlamaModel(_llama(config, config.prompt_vocabulary, length))
        self.action_expert = LlamaModel(_llama(config, 1, length + config.chunk))
        self.action_in = nn.Linear(a, d)
        self.time_in, self.time_out = nn.Linear(2 * d, d), nn.Linear(d, d)
        self.action_out = nn.Linear(d, a)
        noise = torch.randn(config.chunk, a, generator=torch.Generator().manual_seed(_NOISE_SEED))
        self.register_buffer("_noise", noise, persistent=False)

    def make_processor(self, tokenizer: Tokenizer, statistics: Statistics) -> SmallFlowProcessor:
        """Inputs of this model, for training data of these statistics."""
        c = self.config
        return SmallFlowProcessor(c.cameras, c.image_size, c.prompt_length, tokenizer, statistics, c.bins)

    def make_likelihood(
        self, codec: ActionCodec, settings: LikelihoodSettings, device: torch.device | str
    ) -> ActionLikelihood:
        """Of the flow."""
        return FlowLikelihood(codec, self.config.chunk, settings)

    def features(self, images: Tensor, state: Tensor) -> Tensor:
        """See `SmallVla.features`; (B, N, d)."""
        tokens = [self.camera_tokens(i, images[:, i]) for i in range(len(self.image_encoders))]
        return self.join_features(tokens, state)

    def camera_tokens(self, camera: int, images: Tensor) -> Tensor:
        """The part of `features` that images (B, 3, S, S) of one camera make, (B, n, d)."""
        return self.image_encoders[camera](images.to(self.action_in.weight.dtype))

    def join_features(self, tokens: list[Tensor], state: Tensor) -> Tensor:
        """Features (B, N, d) of every camera's tokens and the state (B, n)."""
        return torch.cat([*tokens, self.state_projector(state.to(tokens[0].dtype))[:, None]], dim=1)

    def prefix_cache(self, features: Tensor, prompt_ids: Tensor, checkpointing: bool = False) -> PrefixCache:
        """What the velocity depends on of B observations; see `FlowModel`."""
        prefix = torch.cat([features, self.language_model.embed_tokens(prompt_ids)], dim=1)
        return cache_prefix(self.language_model, prefix, checkpointing=checkpointing)

    def velocity(self, cache: PrefixCache, noisy: Tensor, time: Tensor) -> Tensor:
        """See `FlowModel`; (B, D, R, A)."""
        embedded = embed_time(time, self.config.hidden)[:, :, None].expand(-1, -1, noisy.shape[2], -1)
        tokens = torch.cat([self.action_in(noisy), embedded], dim=-1)
        tokens = self.time_out(F.silu(self.time_in(tokens)))
        return self.action_out(expert_states(self.action_expert, cache, tokens))

    def generate(self, features: Tensor, prompt_ids: Tensor, committed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Normalised actions float32 (B, chunk * A) in [-1, 1], and zeros: a flow has no log-probability of them.

        Args:
            features, prompt_ids: of B observations.
            committed: see `GuidedModel`.
        """
        with torch.no_grad():
            noise = self._noise.expand(len(features), -1, -1)
            cache = self.prefix_cache(features, prompt_ids)
            values = sample(self, cache, noise, self.config.flow_steps, committed)
        values = values.float().clamp(-1, 1).flatten(1)
        return values, torch.zeros_like(values)


def _llama(config: SmallFlowConfig, vocabulary: int, length: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        bos_token_id=None,
        eos_token_id=None,
        hidden_size=config.hidden,
        intermediate_size=config.mlp,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=length,
        rms_norm_eps=1e-6,
        attn_implementation="sdpa",
        use_cache=False,
    )
