"""Inputs of the small VLA: cropped images, state in standard deviations, one prompt token a word."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from tokenizers import Tokenizer

from apo_vla.actions.bins import BinActions
from apo_vla.actions.continuous import ContinuousActions
from apo_vla.inputs.image_processing import check_cameras, process_images
from apo_vla.inputs.prompt import encode_prompts
from apo_vla.model import Statistics

_KEPT_PROMPTS = 1024  # instructions are typed by people; keeps memory bounded


class SmallVlaProcessor(BinActions):
    """See `apo_vla.model.Processor`.

    Args:
        cameras: contract names, in the model's order.
        image_size: pixels a side.
        prompt_length: tokens of every prompt.
        tokenizer: of the prompts.
        statistics: of the training data.
        bins: tokens a dimension.
    """

    def __init__(
        self,
        cameras: tuple[str, ...],
        image_size: int,
        prompt_length: int,
        tokenizer: Tokenizer,
        statistics: Statistics,
        bins: int,
    ):
        super().__init__(statistics.codec(bins))
        self._cameras, self._image_size, self._prompt_length = cameras, image_size, prompt_length
        self._tokenizer, self._statistics = tokenizer, statistics
        self._prompts: dict[str, np.ndarray] = {}

    def images(self, views: Mapping[str, np.ndarray], rng: np.random.Generator | None) -> np.ndarray:
        """Float32 (cameras, 3, S, S)."""
        check_cameras(views, self._cameras)
        return process_images([views[name] for name in self._cameras], self._image_size, rng)

    def state(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """Float32 (n,), standard deviations."""
        return self._statistics.normalise_state(state)

    def prompt(self, text: str, state: np.ndarray) -> np.ndarray:
        """Int64 (prompt_length,)."""
        if text not in self._prompts:
            if len(self._prompts) >= _KEPT_PROMPTS:
                self._prompts.clear()
            self._prompts[text] = encode_prompts(self._tokenizer, [text], self._prompt_length)[0]
        return self._prompts[text]


class SmallFlowProcessor(ContinuousActions, SmallVlaProcessor):
    """The processor of the small flow policy, whose outputs are numbers."""
