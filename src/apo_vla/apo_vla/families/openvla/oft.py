"""OpenVLA-OFT (arXiv 2502.19645): a whole chunk in one bidirectional pass, by a continuous head or discrete bins.

Sequence: BOS, image tokens of every camera, proprioception token, rest of the prompt, one zero embedding for each
number of the chunk, stop token; every token sees every other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F
from transformers import LlamaConfig

from apo_core.errors import ConfigError
from apo_vla.actions.codec import ActionCodec
from apo_vla.decoding.greedy import positions
from apo_vla.families.openvla.prismatic import OpenVlaConfig, PrismaticVla
from apo_vla.families.openvla.processor import ContinuousProcessor, OpenVlaProcessor
from apo_vla.families.openvla.vit import VitShape
from apo_vla.likelihood.bins import BinLikelihood
from apo_vla.likelihood.laplace import LaplaceLikelihood
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import ActionLikelihood
from apo_vla.model import Statistics

STOP = 2  # Llama's end of text
_BLOCKS = 2  # residual blocks of the head


class ProprioProjector(nn.Module):
    """Proprioception (B, n) -> one token (B, 1, d)."""

    def __init__(self, size: int, width: int):
        super().__init__()
        self.fc1 = nn.Linear(size, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(state)))[:, None]


class _ResidualBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.ffn = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.ffn(x)


class _MlpResNet(nn.Module):
    def __init__(self, width_in: int, width: int, width_out: int):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width_in)
        self.fc1 = nn.Linear(width_in, width)
        self.mlp_resnet_blocks = nn.ModuleList(_ResidualBlock(width) for _ in range(_BLOCKS))
        self.layer_norm2 = nn.LayerNorm(width)
        self.fc2 = nn.Linear(width, width_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.fc1(self.layer_norm1(x)))
        for block in self.mlp_resnet_blocks:
            x = block(x)
        return self.fc2(self.layer_norm2(x))


class ActionHead(nn.Module):
    """Hidden states (B, chunk, A * d) -> normalised actions (B, chunk, A), trained on their L1 error."""

    def __init__(self, width: int, action_size: int):
        super().__init__()
        self.model = _MlpResNet(action_size * width, width, action_size)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.model(hidden)


class OpenVlaOft(PrismaticVla):
    """See `apo_vla.model.VlaModel`.

    Args:
        config: inputs and outputs; state_size above 0 makes a proprioception token.
        towers: sizes of the vision towers.
        text: of the language model.
        continuous: True for the head that regresses actions, False for bins.
    """

    def __init__(self, config: OpenVlaConfig, towers: tuple[VitShape, ...], text: LlamaConfig, continuous: bool):
        super().__init__(config, towers, text)
        width = text.hidden_size
        self.proprio_projector = ProprioProjector(config.state_size, width) if config.state_size else None
        self.action_head = ActionHead(width, config.action_size) if continuous else None

    def make_processor(self, tokenizer: Tokenizer, statistics: Statistics) -> OpenVlaProcessor:
        """The processor of OpenVLA; a continuous head's numbers are normalised actions, not bins."""
        c = self.config
        kind = OpenVlaProcessor if self.action_head is None else ContinuousProcessor
        codec = statistics.codec(c.bins)
        return kind(c.views, c.image, c.prompt, c.prompt_length, c.pad_id, tokenizer, statistics, codec)

    def make_likelihood(
        self, codec: ActionCodec, settings: LikelihoodSettings, device: torch.device | str
    ) -> ActionLikelihood:
        """Of bins, or of the L1 head."""
        if self.action_head is None:
            return BinLikelihood(codec, settings, device)
        return LaplaceLikelihood(codec, settings)

    def join_features(self, tokens: list[torch.Tensor], state: torch.Tensor) -> torch.Tensor:
        """Image tokens of every camera, then the proprioception token: (B, N, d).

        Args:
            tokens: (B, patches, d) of each camera.
            state: float32 (B, n) in -1..1.
        """
        joined = super().join_features(tokens, state)
        if self.proprio_projector is None:
            return joined
        return torch.cat([joined, self.proprio_projector(state.to(self.dtype))], dim=1)

    def action_logits(
        self, features: torch.Tensor, prompt_ids: torch.Tensor, action_tokens: torch.Tensor
    ) -> torch.Tensor:
        """Float32 (B, L, bins): all at once, so they do not depend on `action_tokens` (B, L) but for its length.

        Raises:
            ConfigError: the head is continuous.
        """
        if self.action_head is not None:
            raise ConfigError("checkpoint", ["a continuous head (action_head) puts out no tokens"])
        hidden = self._hidden(features, prompt_ids)[:, : action_tokens.shape[1]]
        return F.linear(hidden, self.head_rows()).float()

    def completion_logits(
        self,
        features: torch.Tensor,
        prompt_ids: torch.Tensor,
        action_tokens: torch.Tensor,
        rows: Sequence[int] = (),
        other_tokens: torch.Tensor | None = None,
        checkpointing: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`action_logits`, which are those of any other action after the same observation too; see `VlaModel`.

        `checkpointing` changes nothing: all activations are kept.
        """
        logits = self.action_logits(features, prompt_ids, action_tokens)
        return logits, logits.detach()[list(rows)]

    def generate(self, features: torch.Tensor, prompt_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Bins int64 (B, chunk * A) and log-probabilities float32 (B, chunk * A) in nats.

        A continuous head returns float32 normalised actions (B, chunk * A) and zeros: it has no distribution.
        """
        if self.action_head is not None:
            values = self.regress(features, prompt_ids)
            return values, torch.zeros_like(values)
        hidden = self._hidden(features, prompt_ids)
        logits = F.linear(hidden, self.head_rows()).float()
        tokens = logits.argmax(dim=-1)
        if self.classes is not None:
            return tokens, self.classes.log_probs(logits, tokens)
        return tokens, logits.log_softmax(dim=-1).gather(-1, tokens[..., None])[..., 0]

    def regress(self, features: torch.Tensor, prompt_ids: torch.Tensor) -> torch.Tensor:
        """Normalised actions float32 (B, chunk * A) of the continuous head, with gradient."""
        assert self.action_head is not None
        hidden = self._hidden(features, prompt_ids)
        rows = hidden.reshape(len(hidden), self.config.chunk, -1)
        return self.action_head(rows).float().flatten(1)

    def _hidden(self, features: torch.Tensor, prompt_ids: torch.Tensor) -> torch.Tensor:
        """Hidden states (B, chunk * A, d) of the chunk: those of the token before each of its places."""
        prefix, mask = self.prefix(features, prompt_ids)
        batch, start, width = prefix.shape
        count = self.config.action_tokens
        stop = self.language_model.model.embed_tokens(prompt_ids.new_full((batch, 1), STOP))
        inputs = torch.cat([prefix, prefix.new_zeros(batch, count, width), stop], dim=1)
        total = inputs.shape[1]
        if mask is None:
            mask = prompt_ids.new_ones((batch, start), dtype=torch.bool)
        mask = F.pad(mask, (0, count + 1), value=True)
        hidden = self.language_model.model(
            inputs_embeds=inputs,
            # four dimensions: taken as it is, so that attention is not causal
            attention_mask=mask[:, None, None].expand(batch, 1, total, total),
            position_ids=positions(mask),
            use_cache=False,
        ).last_hidden_state
        return hidden[:, start - 1 : start - 1 + count]
