"""OpenVLA (arXiv 2406.09246): one action, decoded bin by bin; causal."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F
from transformers import LlamaConfig

from apo_vla.decoding.greedy import greedy_decode, positions
from apo_vla.decoding.static import StaticDecoder, decoder_fault
from apo_vla.decoding.teacher_forcing import Completions, hidden_states
from apo_vla.families.openvla.prismatic import OpenVlaConfig, PrismaticVla
from apo_vla.families.openvla.vit import VitShape
from apo_vla.model import ModelCapabilities


class OpenVla(PrismaticVla):
    """An `apo_vla.model.DecodingModel`; a plain `VlaModel` where StaticDecoder cannot repeat the checkpoint's Llama
    variant, which `generate` serves.
    """

    def __init__(self, config: OpenVlaConfig, towers: tuple[VitShape, ...], text: LlamaConfig):
        super().__init__(config, towers, text)
        fault = decoder_fault(text)
        self.capabilities = ModelCapabilities(decodes_tokens=not fault, decoder_fault=fault, separate_cameras=True)
        if not fault:
            # copies of weights as large as the published ones would not fit beside them
            self.decoder = StaticDecoder(self.language_model.model, merge=False)

    def action_logits(
        self, features: torch.Tensor, prompt_ids: torch.Tensor, action_tokens: torch.Tensor
    ) -> torch.Tensor:
        """Teacher-forced float32 (B, L, bins) in one pass.

        Args:
            features: (B, N, d).
            prompt_ids: int64 (B, P), of `OpenVlaProcessor.prompt`.
            action_tokens: int64 (B, L) bins, L up to chunk * A.
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
        """`action_logits`, and those of other actions after the same observations; see `VlaModel`.

        Prompts of one length share a pass; others are padded, which takes two, and keeps all activations.
        """
        prefix, mask = self.prefix(features, prompt_ids)
        if mask is not None:
            logits = self._padded_logits(prefix, mask, action_tokens)
            if not len(rows) or other_tokens is None:
                return logits, logits[:0]
            with torch.no_grad():
                return logits, self._padded_logits(prefix[list(rows)], mask[list(rows)], other_tokens)
        embedding, head = self.embedding_rows(), self.head_rows()
        others = None
        if len(rows) and other_tokens is not None:
            others = Completions(rows, F.embedding(other_tokens[:, :-1], embedding))
        given = F.embedding(action_tokens[:, :-1], embedding)
        hidden, other_hidden = hidden_states(self.language_model.model, prefix, given, others, checkpointing)
        return F.linear(hidden, head).float(), F.linear(other_hidden, head).float()

    def generate(self, features: torch.Tensor, prompt_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Greedy bins int64 (B, chunk * A) and log-probabilities float32 (B, chunk * A), among the action tokens."""
        prefix, mask = self.prefix(features, prompt_ids)
        steps = self.config.action_tokens
        model, embedding, head = self.language_model.model, self.embedding_rows(), self.head_rows()
        return greedy_decode(model, prefix, mask, embedding, head, steps, self.classes)

    def prefix_of_one(self, features: torch.Tensor, prompt_ids: torch.Tensor) -> torch.Tensor:
        """`prefix` of one observation, (1, T, d): without padding."""
        return self.prefix(features, prompt_ids)[0]

    def _padded_logits(self, prefix: torch.Tensor, mask: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Float32 (B, L, bins) of tokens (B, L) after a prefix (B, T, d) with padding, mask bool (B, T)."""
        length = tokens.shape[1]
        inputs = torch.cat([prefix, F.embedding(tokens[:, :-1], self.embedding_rows())], dim=1)
        mask = F.pad(mask, (0, length - 1), value=True)
        hidden = self.language_model.model(
            inputs_embeds=inputs, attention_mask=mask.long(), position_ids=positions(mask), use_cache=False
        ).last_hidden_state
        return F.linear(hidden[:, -length:], self.head_rows()).float()
