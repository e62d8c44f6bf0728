"""Instructions as prompt tokens: one word a token, padded on the left to a fixed length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from apo_core.errors import ObservationError

PAD, UNKNOWN = "[PAD]", "[UNK]"
TEMPLATE = "In: {instruction} Out:"  # OpenVLA's prompt without the words that never change


def build_tokenizer(instructions: Iterable[str]) -> Tokenizer:
    """A word-level tokenizer with a token for every word of these instructions."""
    normaliser, splitter = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    words = {
        word
        for text in instructions
        for word, _ in splitter.pre_tokenize_str(normaliser.normalize_str(TEMPLATE.format(instruction=text)))
    }
    vocabulary = {word: index for index, word in enumerate([PAD, UNKNOWN, *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normaliser
    tokenizer.pre_tokenizer = splitter
    return tokenizer


def prompt_tokens(instruction: str) -> int:
    """Length of its prompt with a tokenizer of `build_tokenizer`."""
    prompt = TEMPLATE.format(instruction=instruction)
    return len(build_tokenizer((instruction,)).encode(prompt, add_special_tokens=False).ids)


def encode_prompts(tokenizer: Tokenizer, instructions: Sequence[str], length: int) -> np.ndarray:
    """Prompts of instructions, int64 (B, length).

    Raises:
        ObservationError: an instruction is empty, or longer than the model's prompt.
    """
    rows = []
    for text in instructions:
        ids = tokenizer.encode(TEMPLATE.format(instruction=text), add_special_tokens=False).ids
        if not text.strip() or len(ids) > length:
            raise ObservationError(
                f"instruction = {text!r} makes {len(ids)} tokens, must not be empty and make at most {length} "
                "(config.json: prompt_length)"
            )
        # padding on the left keeps the prompt beside the action tokens that follow it
        rows.append([*[tokenizer.token_to_id(PAD)] * (length - len(ids)), *ids])
    return np.array(rows, dtype=np.int64).reshape(len(rows), length)
