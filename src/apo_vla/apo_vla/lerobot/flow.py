"""What the flow policies in LeRobot's layout have in common: a prefix, an expert that turns noise into actions.

State and actions are padded with zeros to the widths of the model. Images that a robot lacks are left out: LeRobot
gives them tokens that nothing sees.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from apo_vla.actions.classes import ActionClasses
from apo_vla.actions.codec import ActionCodec
from apo_vla.decoding.prefix_cache import PrefixCache
from apo_vla.inputs.camera_views import CameraViews
from apo_vla.lerobot.flow_processor import LeRobotFlowProcessor, line_prompt
from apo_vla.likelihood.flow import FlowLikelihood, sample
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import ActionLikelihood
from apo_vla.model import ModelCapabilities, Statistics

_NOISE_SEED = 0


@dataclass(frozen=True)
class LeRobotFlowConfig:
    """Inputs and outputs of the model."""

    views: CameraViews
    state_size: int
    action_size: int
    chunk: int
    period_ns: int
    image_size: int  # pixels a side
    prompt_length: int  # tokens at most
    state_width: int  # numbers that the model takes, `state_size` and zeros
    action_width: int
    flow_steps: int  # Euler steps from noise to the action
    least_period: float = 4e-3  # of the time's embedding
    largest_period: float = 4.0

    @property
    def cameras(self) -> tuple[str, ...]:
        """Contract names, in the order of the model's images."""
        return self.views.cameras

    @property
    def bins(self) -> int:
        """Of the codec, which only normalises here."""
        return 256


class LeRobotFlow(nn.Module, ABC):
    """See `apo_vla.model.VlaModel`.

    Sampling begins at the same noise in every call, so that an observation has one action and consecutive chunks are of
    one mode; LeRobot draws another each time.
    """

    capabilities = ModelCapabilities(takes_rows=True)
    lora_scope: tuple[str, ...] = ("language_model.", "action_expert.", "action_", "time_")
    classes: ActionClasses | None = None
    prompt_text: Callable[[str, np.ndarray], str] = staticmethod(line_prompt)
    begins_with_bos = True  # the prompt
    centred = True  # images, on their black square

    def __init__(self, config: LeRobotFlowConfig):
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(_NOISE_SEED)
        noise = torch.randn(config.chunk, config.action_width, generator=generator)
        self.register_buffer("_noise", noise, persistent=False)

    @abstractmethod
    def features(self, images: Tensor, state: Tensor) -> Tensor:
        """See `VlaModel`."""

    @abstractmethod
    def prefix_cache(self, features: Tensor, prompt_ids: Tensor, checkpointing: bool = False) -> PrefixCache:
        """See `FlowModel`."""

    @abstractmethod
    def velocity(self, cache: PrefixCache, noisy: Tensor, time: Tensor) -> Tensor:
        """See `FlowModel`; A is `action_width`."""

    @staticmethod
    @abstractmethod
    def stays_float32(name: str) -> bool:
        """Whether a parameter is float32 whatever the others are: it takes states, actions or times, as in LeRobot."""

    def make_processor(self, tokenizer: Tokenizer, statistics: Statistics) -> LeRobotFlowProcessor:
        """Padded images, and a prompt of the family's text."""
        c = self.config
        return LeRobotFlowProcessor(
            c.views,
            c.image_size,
            c.prompt_length,
            tokenizer,
            statistics,
            self.prompt_text,
            self.begins_with_bos,
            self.centred,
        )

    def make_likelihood(
        self, codec: ActionCodec, settings: LikelihoodSettings, device: torch.device | str
    ) -> ActionLikelihood:
        """Of the flow."""
        return FlowLikelihood(codec, self.config.chunk, settings, self.config.action_width)

    def generate(self, features: Tensor, prompt_ids: Tensor, committed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Normalised actions float32 (B, chunk * A), and zeros: a flow has no log-probability of them.

        Args:
            features, prompt_ids: of B observations.
            committed: see `GuidedModel`.
        """
        with torch.no_grad():
            noise = self._noise.expand(len(features), -1, -1)
            cache = self.prefix_cache(features, prompt_ids)
            # in the data, what pads an action is 0
            rows = None if committed is None else padded(committed, self.config.action_width)
            values = sample(self, cache, noise, self.config.flow_steps, rows)
        values = values[..., : self.config.action_size].float().flatten(1)
        return values, torch.zeros_like(values)


def padded(values: Tensor, width: int) -> Tensor:
    """(..., n) -> (..., width), with zeros behind."""
    return F.pad(values, (0, width - values.shape[-1]))
