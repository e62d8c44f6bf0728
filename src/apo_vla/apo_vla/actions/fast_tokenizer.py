"""FAST action tokens (arXiv 2501.09747): DCT over time, rounding, byte-level BPE, as physical-intelligence/fast."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from scipy.fft import dct, idct
from tokenizers import Tokenizer

from apo_core.errors import CheckpointError, DecodeError

TOKENIZER, CONFIG = "tokenizer.json", "processor_config.json"
_REPLACEMENT = 0xFFFD  # what bytes decode to that are no text


class FastTokenizer:
    """Chunks of normalised actions <-> tokens.

    Args:
        bpe: byte-level BPE over characters, one a coefficient.
        scale: coefficients are multiplied by it before rounding.
        min_token: the coefficient of character 0.
    """

    def __init__(self, bpe: Tokenizer, scale: float, min_token: int):
        self._bpe, self._scale, self._min_token = bpe, scale, min_token

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self._bpe.get_vocab_size()

    def encode(self, actions: np.ndarray) -> np.ndarray:
        """Normalised actions (T, A) -> int64 (L,).

        Raises:
            DecodeError: a coefficient lies outside the alphabet the tokenizer was fitted to; it would be dropped.
        """
        coefficients = np.around(dct(np.asarray(actions, np.float64), axis=0, norm="ortho") * self._scale).astype(int)
        text = "".join(chr(max(value - self._min_token, 0)) for value in coefficients.ravel())
        ids = self._bpe.encode(text, add_special_tokens=False).ids
        if self._bpe.decode(ids, skip_special_tokens=False) != text:
            raise DecodeError(
                f"action coefficients {coefficients.min()}..{coefficients.max()} leave the FAST tokenizer's alphabet"
            )
        return np.array(ids, dtype=np.int64)

    def decode(self, ids: np.ndarray, rows: int, size: int) -> np.ndarray:
        """Tokens (L,) -> normalised float64 (rows, size).

        Raises:
            DecodeError: the tokens do not make exactly rows * size coefficients.
        """
        text = self._bpe.decode([int(i) for i in ids], skip_special_tokens=False)
        if len(text) != rows * size or any(ord(letter) == _REPLACEMENT for letter in text):
            raise DecodeError(
                f"{len(ids)} FAST tokens make {len(text)} coefficients, a chunk of {rows} x {size} has {rows * size}"
            )
        coefficients = np.array([ord(letter) for letter in text], np.float64) + self._min_token
        return idct(coefficients.reshape(rows, size) / self._scale, axis=0, norm="ortho")


def read_fast_tokenizer(folder: Path) -> FastTokenizer:
    """Reads processor_config.json and tokenizer.json, which may be in `bpe_tokenizer/`.

    Raises:
        CheckpointError: one is missing or unreadable.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / CONFIG).read_text())
        scale, min_token = float(config["scale"]), int(config["min_token"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder}: no FAST tokenizer ({type(error).__name__}: {error})") from None
    # transformers 5 saves the tokenizer of a processor in a folder of its own
    path = next((path for path in (folder / TOKENIZER, folder / "bpe_tokenizer" / TOKENIZER) if path.exists()), folder)
    try:
        bpe = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise CheckpointError(f"{folder}: no FAST tokenizer ({type(error).__name__}: {error})") from None
    if not (scale > 0 and math.isfinite(scale)):
        raise CheckpointError(f"{folder / CONFIG}: scale = {scale} must be finite and above 0")
    return FastTokenizer(bpe, scale, min_token)
