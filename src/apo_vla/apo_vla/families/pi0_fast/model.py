"""pi0-FAST (arXiv 2501.09747): PaliGemma that predicts FAST tokens; checkpoints in LeRobot's layout.

Sequence: image tokens of every camera, prompt with the state in it, all seen by all; then `Action: `, FAST tokens and
`|`, causal. FAST token t is PaliGemma's token `action_end - t`. Decoding is among FAST tokens and `|` alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F
from transformers import DynamicCache, PaliGemmaConfig, PaliGemmaModel

from apo_vla.actions.codec import ActionCodec
from apo_vla.actions.fast_tokenizer import FastTokenizer
from apo_vla.decoding.greedy import positions
from apo_vla.families.pi0_fast.processor import PAD, Pi0FastProcessor
from apo_vla.inputs.camera_views import CameraViews
from apo_vla.likelihood.fast import FastLikelihood
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import ActionLikelihood
from apo_vla.model import ModelCapabilities, Statistics


@dataclass(frozen=True)
class Pi0FastConfig:
    """Inputs and outputs of the model."""

    views: CameraViews
    state_size: int
    action_size: int
    chunk: int
    period_ns: int
    image_size: int  # pixels a side
    prompt_length: int  # tokens at most
    max_tokens: int  # FAST tokens of a chunk at most
    intro: tuple[int, ...]  # tokens of `Action: `
    end_id: int  # token of `|`
    action_end: int  # PaliGemma's token of FAST token 0; the others count down from it
    openpi: bool  # openpi's conventions instead of LeRobot's
    fast: FastTokenizer
    black_images: tuple[int, ...] = ()  # places of the black images among the model's

    @property
    def cameras(self) -> tuple[str, ...]:
        """Contract names, in the order of the model's images."""
        return self.views.cameras

    @property
    def bins(self) -> int:
        """Tokens that may be decoded: FAST's, and the end, which is the last."""
        return self.fast.vocabulary + 1


class Pi0Fast(nn.Module):
    """See `apo_vla.model.VlaModel`; its tokens are FAST's, and `config.bins` - 1 for the end.

    Args:
        config: inputs and outputs.
        paligemma: of transformers.
        own_head: the head is a matrix of its own, not the embedding.
    """

    capabilities = ModelCapabilities()

    def __init__(self, config: Pi0FastConfig, paligemma: PaliGemmaConfig, own_head: bool = False):
        super().__init__()
        self.config = config
        self.paligemma = PaliGemmaModel(paligemma)
        text = paligemma.text_config
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False) if own_head else None

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return self._embedding.dtype

    def make_processor(self, tokenizer: Tokenizer, statistics: Statistics) -> Pi0FastProcessor:
        """Padded images, state in the prompt, FAST tokens."""
        c = self.config
        return Pi0FastProcessor(
            c.views,
            c.image_size,
            c.prompt_length,
            c.chunk,
            c.action_size,
            c.openpi,
            tokenizer,
            c.fast,
            statistics,
            c.black_images,
        )

    def make_likelihood(
        self, codec: ActionCodec, settings: LikelihoodSettings, device: torch.device | str
    ) -> ActionLikelihood:
        """Of FAST tokens."""
        return FastLikelihood(codec, self.config.fast, self.config.chunk, self.config.max_tokens)

    def features(self, images: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Image tokens (B, cameras * patches, d) of float32 (B, cameras, 3, S, S); the state is in the prompt."""
        batch = len(images)
        seen = self.paligemma.vision_tower(images.flatten(0, 1).to(self.dtype)).last_hidden_state
        tokens = self.paligemma.multi_modal_projector(seen)
        return tokens.reshape(batch, -1, tokens.shape[-1])

    def action_logits(
        self, features: torch.Tensor, prompt_ids: torch.Tensor, action_tokens: torch.Tensor
    ) -> torch.Tensor:
        """Teacher-forced float32 (B, L, bins); token i is predicted from tokens before i.

        Args:
            features: (B, N, d).
            prompt_ids: int64 (B, P), padded on the left.
            action_tokens: int64 (B, L), FAST tokens and the end.
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
        """`action_logits`, and those of other actions after the same observations; see `TokenModel`.

        Both follow one prefix in one pass, and do not see each other. `checkpointing` changes nothing: all activations
        are kept.
        """
        embedding, head = self.token_rows(), self.head_rows()
        inputs, known, start = self._prefix(features, prompt_ids)
        before, first = inputs.shape[1], action_tokens.shape[1] - 1
        given = [action_tokens[:, :-1]]
        if len(rows) and other_tokens is not None:
            filled = other_tokens.new_full((len(inputs), other_tokens.shape[1] - 1), self.config.bins - 1)
            filled[list(rows)] = other_tokens[:, :-1]
            given.append(filled)
        inputs = torch.cat([inputs, *(F.embedding(tokens, embedding) * self._scale for tokens in given)], dim=1)
        known = F.pad(known, (0, inputs.shape[1] - before), value=True)
        mask, places = _prefix_mask(known, start), self._positions(known, start)
        mask[:, :, before + first :, before : before + first] = False
        others = inputs.shape[1] - before - first
        places[:, before + first :] = places[:, before - 1 : before] + 1 + torch.arange(others, device=places.device)
        hidden = self.paligemma.language_model(
            inputs_embeds=inputs, attention_mask=mask, position_ids=places, use_cache=False
        ).last_hidden_state
        logits = F.linear(hidden[:, before - 1 : before + first], head).float()
        if len(given) == 1:
            return logits, logits.new_zeros(0, 0, logits.shape[-1])
        # the first token of every completion is predicted by the last position of the prefix
        seen = torch.cat([hidden[:, before - 1 : before], hidden[:, before + first :]], dim=1).detach()
        return logits, F.linear(seen[list(rows)], head).float()

    def generate(self, features: torch.Tensor, prompt_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Greedy tokens int64 (B, L) up to the end, and log-probabilities float32 (B, L) in nats.

        A row that ended before the others is filled with the end token, of log-probability 0.
        """
        rows, head, end = self.token_rows(), self.head_rows(), self.config.bins - 1
        inputs, known, start = self._prefix(features, prompt_ids)
        cache = DynamicCache(config=self.paligemma.language_model.config)
        mask = _prefix_mask(known, start)
        ended = torch.zeros(len(inputs), dtype=torch.bool, device=inputs.device)
        tokens, log_probs = [], []
        for _ in range(self.config.max_tokens):
            hidden = self.paligemma.language_model(
                inputs_embeds=inputs,
                attention_mask=mask,
                position_ids=self._positions(known, start)[:, -inputs.shape[1] :],
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
            logits = F.linear(hidden[:, -1], head).float()
            value, token = logits.max(dim=-1)
            tokens.append(token.masked_fill(ended, end))
            log_probs.append((value - logits.logsumexp(dim=-1)).masked_fill(ended, 0.0))
            ended |= token == end
            if bool(ended.all()):
                break
            inputs = F.embedding(tokens[-1], rows)[:, None] * self._scale
            known = F.pad(known, (0, 1), value=True)
            mask = known[:, None, None]
        return torch.stack(tokens, dim=1), torch.stack(log_probs, dim=1)

    def token_rows(self) -> torch.Tensor:
        """Rows (bins, d) of the embedding, by FAST token, the end last."""
        return self._rows(self._embedding)

    def head_rows(self) -> torch.Tensor:
        """The same rows of the head, which is the embedding where it has no matrix of its own."""
        return self._rows(self._embedding if self.lm_head is None else self.lm_head.weight)

    def _rows(self, matrix: torch.Tensor) -> torch.Tensor:
        first = self.config.action_end - self.config.fast.vocabulary + 1
        codes = matrix[first : self.config.action_end + 1].flip(0)
        return torch.cat([codes, matrix[self.config.end_id][None]])

    @property
    def _embedding(self) -> torch.Tensor:
        return self.paligemma.language_model.embed_tokens.weight

    @property
    def _scale(self) -> float:
        """Gemma's scale of text embeddings; images have none."""
        return math.sqrt(self._embedding.shape[1])

    def _prefix(self, features: torch.Tensor, prompt_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Embeddings (B, T, d) up to `Action: `, which of them are no padding, bool (B, T), and where it begins."""
        known = prompt_ids != PAD
        used = known.any(dim=0)
        prompt_ids, known = prompt_ids[:, used], known[:, used]
        intro = torch.tensor(self.config.intro, device=prompt_ids.device).expand(len(prompt_ids), -1)
        text = F.embedding(torch.cat([prompt_ids, intro], dim=1), self._embedding) * self._scale
        inputs = torch.cat([features.to(text.dtype), text], dim=1)
        known = torch.cat([known.new_ones(features.shape[:2]), known, known.new_ones(intro.shape)], dim=1)
        return inputs, known, inputs.shape[1] - intro.shape[1]

    def _positions(self, known: torch.Tensor, start: int) -> torch.Tensor:
        """Positions (B, T); openpi decodes one higher behind the prompt."""
        places = positions(known)
        if self.config.openpi:
            places[:, start:] += 1
        return places


def _prefix_mask(known: torch.Tensor, start: int) -> torch.Tensor:
    """Bool (B, 1, T, T): the first `start` tokens are visible to all, the others are causal, padding to none."""
    total = known.shape[1]
    seen = torch.ones(total, total, dtype=torch.bool, device=known.device).tril()
    seen[:, :start] = True
    return (seen & known[:, None])[:, None]
