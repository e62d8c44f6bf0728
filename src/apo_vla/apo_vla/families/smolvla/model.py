"""SmolVLA (arXiv 2506.01844): the first layers of SmolVLM2, and an expert that turns noise into actions.

Prefix: image tokens of every camera and the prompt, which see each other, then the state, which sees them too. The
expert's tokens are causal; in every other layer they see the prefix alone, through projections of its keys and values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaModel, SmolVLMConfig
from transformers.models.smolvlm.modeling_smolvlm import SmolVLMConnector, SmolVLMVisionTransformer

from apo_vla.decoding.prefix_cache import PrefixCache, cache_prefix, expert_states, project_cache
from apo_vla.lerobot.flow import LeRobotFlow, LeRobotFlowConfig, padded
from apo_vla.likelihood.flow import embed_time


@dataclass(frozen=True)
class SmolVlaConfig(LeRobotFlowConfig):
    """See `LeRobotFlowConfig`."""

    joint_every: int = 2  # layers of which the first sees prefix and actions; the others cross to the prefix; 1: all
    image_start: tuple[int, ...] = ()  # tokens before and behind each image
    image_end: tuple[int, ...] = ()
    empty_images: int = 0  # images of no camera, of which only the tokens around them are seen


class SmolVla(LeRobotFlow):
    """See `LeRobotFlow`.

    Args:
        config: inputs and outputs.
        vlm: sizes of vision tower, connector and text model.
        expert: sizes of the expert.
    """

    config: SmolVlaConfig
    begins_with_bos = False
    centred = False

    def __init__(self, config: SmolVlaConfig, vlm: SmolVLMConfig, expert: LlamaConfig):
        super().__init__(config)
        self.vision_model = SmolVLMVisionTransformer(vlm.vision_config)
        self.connector = SmolVLMConnector(vlm)
        self.language_model = LlamaModel(vlm.text_config)
        self.action_expert = LlamaModel(expert)
        self.action_expert.embed_tokens = None
        width, size = config.action_width, expert.hidden_size
        self.state_proj = nn.Linear(config.state_width, vlm.text_config.hidden_size)
        self.action_in_proj = nn.Linear(width, size)
        self.action_time_mlp_in, self.action_time_mlp_out = nn.Linear(2 * size, size), nn.Linear(size, size)
        self.action_out_proj = nn.Linear(size, width)
        layers = range(expert.num_hidden_layers)
        self._crossing = frozenset(layer for layer in layers if layer % config.joint_every)
        # crossing layers project the prefix's keys and values, not the expert's own states
        seen = expert.num_key_value_heads * expert.head_dim
        for number in self._crossing:
            attention = self.action_expert.layers[number].self_attn
            attention.k_proj = nn.Linear(seen, seen, bias=False)
            attention.v_proj = nn.Linear(seen, seen, bias=False)

    @staticmethod
    def stays_float32(name: str) -> bool:
        """See `LeRobotFlow`."""
        return name.startswith(("action_in_proj", "action_out_proj", "action_time_mlp", "state_proj"))

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights of text model and expert."""
        return self.language_model.embed_tokens.weight.dtype

    def features(self, images: Tensor, state: Tensor) -> Tensor:
        """Tokens float32 (B, N, d): of images (B, cameras, 3, S, S), and last of the state (B, n)."""
        pixels = images.flatten(0, 1).to(self.vision_model.embeddings.patch_embedding.weight.dtype)
        tokens = self.connector(self.vision_model(pixels).last_hidden_state)
        tokens = tokens.float() * math.sqrt(tokens.shape[-1])
        start, end = (self._marks(ids, len(tokens)) for ids in (self.config.image_start, self.config.image_end))
        tokens = torch.cat([start, tokens, end], dim=1).unflatten(0, images.shape[:2]).flatten(1, 2)
        empty = torch.cat([start, end], dim=1)[: len(images)].repeat(1, self.config.empty_images, 1)
        tokens = torch.cat([tokens, empty], dim=1)
        known = self.state_proj(padded(state, self.config.state_width).to(self.state_proj.weight.dtype))
        return torch.cat([tokens, known[:, None].float()], dim=1)

    def _marks(self, ids: tuple[int, ...], count: int) -> Tensor:
        rows = torch.tensor(ids, dtype=torch.int64, device=self.language_model.embed_tokens.weight.device)
        return self.language_model.embed_tokens(rows).float().expand(count, -1, -1)

    def prefix_cache(self, features: Tensor, prompt_ids: Tensor, checkpointing: bool = False) -> PrefixCache:
        """See `FlowModel`."""
        known = prompt_ids >= 0
        used = known.any(dim=0)
        prompt_ids, known = prompt_ids[:, used], known[:, used]
        text = self.language_model.embed_tokens(prompt_ids.clamp(min=0))
        text = text * math.sqrt(text.shape[-1])
        features = features.to(text.dtype)
        prefix = torch.cat([features[:, :-1], text, features[:, -1:]], dim=1)
        images = features.shape[1] - 1
        known = F.pad(F.pad(known, (images, 0), value=True), (0, 1), value=True)
        visible = known.new_ones(known.shape[1], known.shape[1])
        visible[:-1, -1] = False
        cache = cache_prefix(self.language_model, prefix, known, visible, checkpointing)
        return project_cache(self.action_expert, cache, self._crossing)

    def velocity(self, cache: PrefixCache, noisy: Tensor, time: Tensor) -> Tensor:
        """See `FlowModel`; (B, D, R, action_width)."""
        c = self.config
        actions = self.action_in_proj(noisy.to(self.action_in_proj.weight.dtype))
        embedded = embed_time(time, actions.shape[-1], c.least_period, c.largest_period).to(actions.dtype)
        tokens = torch.cat([actions, embedded[:, :, None].expand_as(actions)], dim=-1)
        tokens = self.action_time_mlp_out(F.silu(self.action_time_mlp_in(tokens))).to(self.dtype)
        states = expert_states(self.action_expert, cache, tokens, causal=True, crossing=self._crossing)
        return self.action_out_proj(states.to(self.action_out_proj.weight.dtype)).float()
