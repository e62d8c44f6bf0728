"""Inputs of the flow policies in LeRobot's layout: padded images, normalised state, a prompt without padding seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from tokenizers import Tokenizer

from apo_core.errors import ObservationError
from apo_vla.actions.continuous import ContinuousActions
from apo_vla.inputs.camera_views import CameraViews
from apo_vla.inputs.padding import resize_with_padding
from apo_vla.model import Statistics

NO_TOKEN = -1  # padding, on the left
_BOS = 2  # PaliGemma's
_STATE_EDGES = np.linspace(-1, 1, 257)[:-1]


class LeRobotFlowProcessor(ContinuousActions):
    """See `apo_vla.model.Processor`.

    Args:
        views: pictures that the model sees.
        image_size: pixels a side.
        prompt_length: tokens of every prompt.
        tokenizer: of the prompts.
        statistics: of the training data.
        style: makes the prompt's text of an instruction and a normalised state.
        begins_with_bos: the prompt, with PaliGemma's.
        centred: images stand in the middle of their black square, not at its bottom and right.
    """

    def __init__(
        self,
        views: CameraViews,
        image_size: int,
        prompt_length: int,
        tokenizer: Tokenizer,
        statistics: Statistics,
        style: Callable[[str, np.ndarray], str],
        begins_with_bos: bool,
        centred: bool,
    ):
        self._views, self._image_size, self._prompt_length = views, image_size, prompt_length
        self._tokenizer, self._statistics, self._style = tokenizer, statistics, style
        self._first = [_BOS] if begins_with_bos else []
        self._centred = centred
        self.codec = statistics.codec(256)

    def images(self, views: Mapping[str, np.ndarray], rng: np.random.Generator | None) -> np.ndarray:
        """Float32 (cameras, 3, S, S) in -1..1."""
        pictures = self._views.take(views)
        return np.stack([resize_with_padding(image, self._image_size, rng, self._centred) for image in pictures])

    def state(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """Float32 (n,), normalised."""
        return self._statistics.normalise_state(state)

    def prompt(self, text: str, state: np.ndarray) -> np.ndarray:
        """Int64 (prompt_length,), padded on the left with `NO_TOKEN`. Raises ObservationError."""
        ids = self._first + self._tokenizer.encode(self._style(text, state), add_special_tokens=False).ids
        if not text.strip() or len(ids) > self._prompt_length:
            raise ObservationError(
                f"instruction = {text!r} makes {len(ids)} tokens, must not be empty and make at most "
                f"{self._prompt_length} (config.json: tokenizer_max_length)"
            )
        return np.array([NO_TOKEN] * (self._prompt_length - len(ids)) + ids, dtype=np.int64)


def line_prompt(text: str, state: np.ndarray) -> str:
    """The instruction as a line (SmolVLA, pi0)."""
    return text if text.endswith("\n") else f"{text}\n"


def state_prompt(text: str, state: np.ndarray) -> str:
    """The instruction, and the state in 256 bins (pi0.5)."""
    cleaned = text.strip().replace("_", " ").replace("\n", " ")
    bins = " ".join(str(value) for value in np.digitize(state, _STATE_EDGES) - 1)
    return f"Task: {cleaned}, State: {bins};\nAction: "
