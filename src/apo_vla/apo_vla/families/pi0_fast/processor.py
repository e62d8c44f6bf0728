"""Inputs and outputs of pi0-FAST: padded images, a prompt with the state in it, FAST tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from tokenizers import Tokenizer

from apo_core.errors import DecodeError, ObservationError
from apo_vla.actions.fast_tokenizer import FastTokenizer
from apo_vla.inputs.camera_views import CameraViews
from apo_vla.inputs.padding import resize_by_pil, resize_with_padding
from apo_vla.model import Statistics

PAD, BOS = 0, 2  # PaliGemma's
_STATE_EDGES = np.linspace(-1, 1, 257)[:-1]


class Pi0FastProcessor:
    """See `apo_vla.model.Processor`.

    Args:
        views: pictures that the model sees.
        image_size: pixels a side.
        prompt_length: tokens of every prompt; a shorter one is padded on the left.
        chunk, action_size: of what FAST decodes to.
        openpi: openpi's conventions: lower case, no second BOS, pictures resized by PIL.
        tokenizer: PaliGemma's.
        fast: of the actions.
        statistics: of the training data.
        black_images: places of black images among those of the cameras; the model sees them, as openpi's FAST does.
    """

    def __init__(
        self,
        views: CameraViews,
        image_size: int,
        prompt_length: int,
        chunk: int,
        action_size: int,
        openpi: bool,
        tokenizer: Tokenizer,
        fast: FastTokenizer,
        statistics: Statistics,
        black_images: Sequence[int] = (),
    ):
        self._views, self._image_size, self._prompt_length = views, image_size, prompt_length
        self._chunk, self._action_size, self._openpi = chunk, action_size, openpi
        self._tokenizer, self._fast, self._statistics = tokenizer, fast, statistics
        self._black_images = sorted(black_images)
        self._codec = statistics.codec(256)

    def images(self, views: Mapping[str, np.ndarray], rng: np.random.Generator | None) -> np.ndarray:
        """Float32 (cameras and black images, 3, S, S) in -1..1."""
        resize = resize_by_pil if self._openpi else resize_with_padding
        pictures = [resize(picture, self._image_size, rng) for picture in self._views.take(views)]
        for place in self._black_images:
            pictures.insert(place, np.full((3, self._image_size, self._image_size), -1, np.float32))
        return np.stack(pictures)

    def state(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """Float32 (n,), normalised."""
        return self._statistics.normalise_state(state)

    def prompt(self, text: str, state: np.ndarray) -> np.ndarray:
        """Int64 (prompt_length,): padding, BOS, task and state in 256 bins; with LeRobot another BOS."""
        cleaned = text.strip().replace("_", " ")
        cleaned = cleaned.lower() if self._openpi else cleaned.replace("\n", " ")
        bins = " ".join(str(value) for value in np.digitize(state, _STATE_EDGES) - 1)
        ids = self._tokenizer.encode(f"Task: {cleaned}, State: {bins};\n", add_special_tokens=False).ids
        ids = [BOS, *ids] if self._openpi else [BOS, *ids, BOS]
        if not cleaned or len(ids) > self._prompt_length:
            raise ObservationError(
                f"instruction = {text!r} makes {len(ids)} tokens, must not be empty and make at most "
                f"{self._prompt_length} (config.json: tokenizer_max_length)"
            )
        return np.array([PAD] * (self._prompt_length - len(ids)) + ids, dtype=np.int64)

    def actions(self, tokens: np.ndarray) -> np.ndarray:
        """FAST tokens (L,) with an end -> float32 (chunk, A), contract units.

        Raises:
            DecodeError: no end, or tokens that are no chunk. Never a zero action instead.
        """
        ends = np.flatnonzero(tokens == self._fast.vocabulary)
        if not len(ends):
            raise DecodeError(f"the policy did not end its action within {len(tokens)} FAST tokens")
        return self._codec.denormalise(self._fast.decode(tokens[: ends[0]], self._chunk, self._action_size))

    def row_log_probs(self, log_probs: np.ndarray) -> np.ndarray:
        """(L,) -> float32 (chunk,): FAST tokens belong to no row, so each has an equal share."""
        return np.full(self._chunk, log_probs.sum() / self._chunk, np.float32)
