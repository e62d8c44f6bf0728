"""Inputs of OpenVLA: images by PIL, a prompt of Llama tokens, proprioception; and the meaning of its bins."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from tokenizers import Tokenizer

from apo_core.errors import ObservationError
from apo_vla.actions.bins import BinActions
from apo_vla.actions.codec import ActionCodec
from apo_vla.actions.continuous import ContinuousActions
from apo_vla.families.openvla.images import ImageSettings, process
from apo_vla.inputs.camera_views import CameraViews
from apo_vla.model import Statistics

BOS, EMPTY = 1, 29871  # Llama's start of text, and the empty token that training put behind "Out:"
PROMPT = "In: What action should the robot take to {instruction}?\nOut:"


class OpenVlaProcessor(BinActions):
    """See `apo_vla.model.Processor`.

    Args:
        views: pictures that the model sees.
        image: of the checkpoint.
        prompt: template with {instruction}.
        prompt_length: tokens of every prompt; a shorter one is padded behind BOS.
        pad_id: padding token.
        tokenizer: of the checkpoint.
        statistics: of the training data.
        codec: of the actions.
    """

    def __init__(
        self,
        views: CameraViews,
        image: ImageSettings,
        prompt: str,
        prompt_length: int,
        pad_id: int,
        tokenizer: Tokenizer,
        statistics: Statistics,
        codec: ActionCodec,
    ):
        super().__init__(codec)
        self._views, self._image, self._template = views, image, prompt
        self._prompt_length, self._pad_id = prompt_length, pad_id
        self._tokenizer, self._statistics = tokenizer, statistics

    def images(self, views: Mapping[str, np.ndarray], rng: np.random.Generator | None) -> np.ndarray:
        """Float32 (cameras, 3 * towers, S, S)."""
        return np.stack([process(picture, self._image, rng) for picture in self._views.take(views)])

    def state(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """Float32 (n,) in -1..1; n is 0 without proprioception."""
        return self._statistics.normalise_state(state)

    def prompt(self, text: str, state: np.ndarray) -> np.ndarray:
        """Int64 (prompt_length,): BOS, padding, the rest of the prompt, the empty token."""
        text = text.lower()  # as the authors' code has it, which leaves spaces
        ids = self._tokenizer.encode(self._template.format(instruction=text), add_special_tokens=False).ids
        ids += [] if ids[-1:] == [EMPTY] else [EMPTY]
        if not text.strip() or len(ids) + 1 > self._prompt_length:
            raise ObservationError(
                f"instruction = {text!r} makes {len(ids) + 1} tokens, must not be empty and make at most "
                f"{self._prompt_length} (deployment.yaml: prompt_length)"
            )
        padding = [self._pad_id] * (self._prompt_length - len(ids) - 1)
        return np.array([BOS, *padding, *ids], dtype=np.int64)


class ContinuousProcessor(ContinuousActions, OpenVlaProcessor):
    """The processor of a model whose head predicts normalised actions."""
