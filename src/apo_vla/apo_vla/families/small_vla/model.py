"""A small vision-language-action model of OpenVLA's shape: image and state tokens, prompt, Llama decoder, bins.

Sequence: camera 1 tokens, camera 2 tokens, ..., state token, prompt (padded on the left), action tokens. Causal. The
action token of dimension a in row r of the chunk stands at r * A + a.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import LlamaConfig, LlamaModel

from apo_core.errors import CheckpointError, ConfigError
from apo_vla.actions.classes import ActionClasses
from apo_vla.actions.nearness import nearness_of_bins
from apo_vla.decoding.static import StaticDecoder
from apo_vla.decoding.teacher_forcing import Completions, hidden_states
from apo_vla.families.small_vla.processor import SmallVlaProcessor
from apo_vla.model import ModelCapabilities, Statistics

FAMILY = "apo_small_vla"
_STRIDE = 16  # pixels a side of the encoder's squares
_POOLED_CHANNELS = 48  # of each square, where tokens are of the whole image
_POOLED_HIDDEN = 256


@dataclass(frozen=True)
class SmallVlaConfig:
    """Shape of the model and of what it reads. Raises ConfigError with every fault."""

    cameras: tuple[str, ...] = ("agentview", "wrist")  # contract names, in the order of the image tokens
    state_keys: tuple[str, ...] = ("ee_pose", "gripper_width", "joint_position")  # contract names, concatenated
    state_size: int = 15
    action_size: int = 7
    chunk: int = 4  # rows predicted from one observation
    period_ns: int = 50_000_000  # between the rows of a chunk
    bins: int = 256
    image_size: int = 64  # pixels a side
    image_channels: tuple[int, ...] = (32, 64, 128)  # of the encoder's first three stages; the last has `hidden`
    image_tokens: int = 0  # of a camera, each of the whole image; 0: one for each square of 16 pixels
    prompt_length: int = 16  # tokens, shorter prompts are padded
    prompt_vocabulary: int = 64  # tokens known to the tokenizer at most
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    mlp: int = 512
    decode_tolerance: float = 0.0  # s of `nearness_of_bins`, bins; 0: the likeliest bin is chosen

    def __post_init__(self) -> None:
        faults = []
        for spec in fields(self):
            value = getattr(self, spec.name)
            least = 0 if spec.name == "image_tokens" else 1
            if isinstance(spec.default, int) and (not isinstance(value, int) or value < least):
                faults.append(f"{spec.name} = {value!r} must be a whole number of at least {least}")
            if isinstance(spec.default, tuple) and len(value) == 0:
                faults.append(f"{spec.name} must not be empty")
        if not 0.0 <= self.decode_tolerance <= self.bins:
            faults.append(f"decode_tolerance = {self.decode_tolerance!r} must be 0..{self.bins}")
        if not faults:
            if self.image_size % _STRIDE:
                faults.append(f"image_size = {self.image_size} must be a multiple of {_STRIDE}")
            if len(self.image_channels) != 3 or any(c % 8 for c in (*self.image_channels, self.hidden)):
                faults.append(f"image_channels = {self.image_channels}, hidden = {self.hidden}: three, multiples of 8")
            if self.hidden % self.heads or (self.hidden // self.heads) % 2:
                faults.append(f"hidden = {self.hidden} must be heads = {self.heads} times an even number")
        if faults:
            raise ConfigError("small VLA (config.json)", faults)

    @property
    def action_tokens(self) -> int:
        """Tokens of a full chunk."""
        return self.chunk * self.action_size

    @property
    def feature_tokens(self) -> int:
        """Tokens before the prompt."""
        return len(self.cameras) * (self.image_tokens or self.squares) + 1

    @property
    def squares(self) -> int:
        """Squares of 16 pixels in an image."""
        return (self.image_size // _STRIDE) ** 2

    def to_dict(self) -> dict:
        """Plain data, the content of config.json."""
        return {"family": FAMILY, **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}}

    @classmethod
    def from_dict(cls, data: dict[str, Any], source: str) -> SmallVlaConfig:
        """Raises CheckpointError for another family, unknown or missing names; those of default 0 may be missing."""
        names = {spec.name for spec in fields(cls)}
        data = {"image_tokens": 0, "decode_tolerance": 0.0, **data}
        family = data.get("family")
        if family != FAMILY:
            raise CheckpointError(f"{source}: family = {family!r}, expected {FAMILY!r}")
        found = set(data) - {"family"}
        if found != names:
            raise CheckpointError(f"{source}: missing {sorted(names - found)}, unknown {sorted(found - names)}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != "family"}
        return cls(**values)


class ImageEncoder(nn.Module):
    """Images (B, 3, S, S) -> tokens (B, n, hidden): one for each square of 16 pixels, or `image_tokens` of the whole.

    A token of the whole image can hold a position, which the decoder must otherwise compose from tokens of squares.
    """

    def __init__(self, config: SmallVlaConfig):
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
