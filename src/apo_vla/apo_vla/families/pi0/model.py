"""pi0 (arXiv 2410.24164) and pi0.5 (arXiv 2504.16054): PaliGemma, and a Gemma expert that turns noise into actions.

Prefix: image tokens of every camera and the prompt, which see each other. pi0 has the state as the expert's first
token, and the time in those of the actions; pi0.5 has the state in the prompt, and the time in the expert's norms.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GemmaConfig, GemmaModel, PaliGemmaConfig, PaliGemmaModel

from apo_vla.decoding.llama_layer import AdaptiveNorm
from apo_vla.decoding.prefix_cache import PrefixCache, append_tokens, cache_prefix, expert_states
from apo_vla.lerobot.flow import LeRobotFlow, LeRobotFlowConfig, padded
from apo_vla.lerobot.flow_processor import state_prompt
from apo_vla.likelihood.flow import embed_time


class PaliGemmaFlow(LeRobotFlow):
    """What pi0 and pi0.5 have in common.

    Args:
        config: inputs and outputs.
        paligemma: of transformers.
        expert: sizes of the expert.
    """

    takes_state: ClassVar[bool]  # as numbers, not in the prompt
    prompt_length: ClassVar[int]  # tokens, where config.json has no number

    def __init__(self, config: LeRobotFlowConfig, paligemma: PaliGemmaConfig, expert: GemmaConfig):
        super().__init__(config)
        self.paligemma = PaliGemmaModel(paligemma)
        self.action_expert = GemmaModel(expert)
        self.action_expert.embed_tokens = None
        self.action_in_proj = nn.Linear(config.action_width, expert.hidden_size)
        self.action_out_proj = nn.Linear(expert.hidden_size, config.action_width)

    @staticmethod
    def stays_float32(name: str) -> bool:
        """See `LeRobotFlow`."""
        first = ("action_in_proj", "action_out_proj", "action_time_mlp", "time_mlp", "state_proj")
        return name.startswith(first) or ".dense." in name

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights of PaliGemma and expert."""
        return self.paligemma.language_model.embed_tokens.weight.dtype

    def features(self, images: Tensor, state: Tensor) -> Tensor:
        """Float32 (B, N, d): image tokens of (B, cameras, 3, S, S), and last a row with the state (B, n) itself."""
        seen = self.paligemma.vision_tower(images.flatten(0, 1).to(self.dtype)).last_hidden_state
        tokens = self.paligemma.multi_modal_projector(seen).float()
        tokens = tokens.unflatten(0, images.shape[:2]).flatten(1, 2)
        return torch.cat([tokens, padded(state, tokens.shape[-1])[:, None].float()], dim=1)

    def prefix_cache(self, features: Tensor, prompt_ids: Tensor, checkpointing: bool = False) -> PrefixCache:
        """See `FlowModel`."""
        known = prompt_ids >= 0
        used = known.any(dim=0)
        prompt_ids, known = prompt_ids[:, used], known[:, used]
        embedding = self.paligemma.language_model.embed_tokens.weight
        # Gemma's scale of text embeddings; images have none
        text = F.embedding(prompt_ids.clamp(min=0), embedding) * math.sqrt(embedding.shape[1])
        images = features[:, :-1].to(text.dtype)
        known = F.pad(known, (images.shape[1], 0), value=True)
        visible = known.new_ones(known.shape[1], known.shape[1])
        prefix = torch.cat([images, text], dim=1)
        return cache_prefix(self.paligemma.language_model, prefix, known, visible, checkpointing)

    def _time(self, time: Tensor) -> Tensor:
        c = self.config
        embedded = embed_time(time, self.action_in_proj.out_features, c.least_period, c.largest_period)
        return embedded.to(self.action_in_proj.weight.dtype)

    def _velocity(self, states: Tensor) -> Tensor:
        return self.action_out_proj(states.to(self.action_out_proj.weight.dtype)).float()


class Pi0(PaliGemmaFlow):
    """See `PaliGemmaFlow`."""

    takes_state, prompt_length = True, 48
    lora_scope = (*PaliGemmaFlow.lora_scope, "state_proj")

    def __init__(self, config: LeRobotFlowConfig, paligemma: PaliGemmaConfig, expert: GemmaConfig):
        super().__init__(config, paligemma, expert)
        size = expert.hidden_size
        self.state_proj = nn.Linear(config.state_width, size)
        self.action_time_mlp_in, self.action_time_mlp_out = nn.Linear(2 * size, size), nn.Linear(size, size)

    def prefix_cache(self, features: Tensor, prompt_ids: Tensor, checkpointing: bool = False) -> PrefixCache:
        """See `FlowModel`; what the expert makes of the state depends on no noise."""
        cache = super().prefix_cache(features, prompt_ids, checkpointing)
        state = features[:, -1:, : self.config.state_width].to(self.state_proj.weight.dtype)
        return append_tokens(self.action_expert, cache, self.state_proj(state).to(self.dtype))

    def velocity(self, cache: PrefixCache, noisy: Tensor, time: Tensor) -> Tensor:
        """See `FlowModel`; (B, D, R, action_width)."""
        actions = self.action_in_proj(noisy.to(self.action_in_proj.weight.dtype))
        tokens = torch.cat([actions, self._time(time)[:, :, None].expand_as(actions)], dim=-1)
        tokens = self.action_time_mlp_out(F.silu(self.action_time_mlp_in(tokens)))
        return self._velocity(expert_states(self.action_expert, cache, tokens.to(self.dtype)))


class Pi05(PaliGemmaFlow):
    """See `PaliGemmaFlow`."""

    takes_state, prompt_length = False, 200
    prompt_text = staticmethod(state_prompt)

    def __init__(self, config: LeRobotFlowConfig, paligemma: PaliGemmaConfig, expert: GemmaConfig):
        super().__init__(config, paligemma, expert)
        size = expert.hidden_size
        self.time_mlp_in, self.time_mlp_out = nn.Linear(size, size), nn.Linear(size, size)
        for layer in self.action_expert.layers:
            layer.input_layernorm = AdaptiveNorm(size, size)
            layer.post_attention_layernorm = AdaptiveNorm(size, size)
        self.action_expert.norm = AdaptiveNorm(size, size)

    def velocity(self, cache: PrefixCache, noisy: Tensor, time: Tensor) -> Tensor:
        """See `FlowModel`; (B, D, R, action_width)."""
        condition = F.silu(self.time_mlp_out(F.silu(self.time_mlp_in(self._time(time)))))
        tokens = self.action_in_proj(noisy.to(self.action_in_proj.weight.dtype)).to(self.dtype)
        return self._velocity(expert_states(self.action_expert, cache, tokens, condition=condition))
