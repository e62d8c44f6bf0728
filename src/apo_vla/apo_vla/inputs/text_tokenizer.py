"""The text tokenizer of a checkpoint: tokenizer.json, without transformers' classes around it."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from apo_core.errors import CheckpointError

TOKENIZER = "tokenizer.json"


def find_tokenizer(folder: Path, name: str) -> Path:
    """Where the tokenizer of a checkpoint is: `name`, a file or a folder with one, or `tokenizer/` as LeRobot saves it.

    Args:
        folder: of the checkpoint.
        name: as deployed; the folder of LeRobot stands in for the file's usual name alone.

    Returns:
        A path, which is that of `name` where there is no file at all.
    """
    path = Path(folder) / name
    if path.is_dir():
        return path / TOKENIZER
    saved = path.parent / "tokenizer" / TOKENIZER
    return saved if name == TOKENIZER and not path.exists() and saved.exists() else path


def read_tokenizer(path: Path, vocabulary: int | None = None) -> Tokenizer:
    """A tokenizer.json.

    Args:
        path: of the file.
        vocabulary: tokens of the model; None: any number.

    Raises:
        CheckpointError: unreadable, or with more tokens than the model's vocabulary.
    """
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error})") from None
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if vocabulary is not None and largest >= vocabulary:
        raise CheckpointError(f"{path}: has token {largest}, the model's vocabulary ends at {vocabulary - 1}")
    return tokenizer
