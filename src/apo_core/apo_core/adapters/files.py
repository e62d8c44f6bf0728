"""Content of the files of an adapter store, and reading them without trust."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from apo_core.adapters.manifest import MODEL_FILE
from apo_core.errors import AdapterError

MAX_HEADER_BYTES = 16 << 20  # JSON header of a safetensors file
DTYPES = (np.dtype(np.float32), np.dtype(np.float16))


def to_json(data: Mapping[str, Any]) -> bytes:
    """JSON as bytes; equal content gives equal bytes."""
    return (json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def to_safetensors(tensors: Mapping[str, np.ndarray]) -> bytes:
    """Content of PEFT's adapter_model.safetensors."""
    return safetensors_numpy.save(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()}, metadata={"format": "pt"}
    )


def remove(path: Path) -> None:
    """Removes a file, a link (not its target), or a folder with its content."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def read_plain_file(folder: int, name: str, limit: int) -> bytes:
    """Bytes of a regular file of an open folder, no link, of at most `limit` bytes.

    Raises:
        AdapterError: it is missing, something else, or too large.
    """
    try:
        # non-blocking, so that a named pipe cannot make the reader wait for ever
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise AdapterError(f"{name} is missing") from None
    except OSError as error:
        raise AdapterError(f"{name} is not a plain file: {error.strerror}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise AdapterError(f"{name} is not a plain file")
    with open(descriptor, "rb") as file:
        if status.st_size > limit:
            raise AdapterError(f"{name} has {status.st_size} bytes, at most {limit} are allowed")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise AdapterError(f"{name} has more than {limit} bytes")
    return data


def parse_json(data: bytes, name: str) -> dict[str, Any]:
    """The JSON object in a file called `name`. Raises AdapterError."""

    def reject(text: str) -> None:
        raise ValueError(f"{text} is not allowed")

    try:
        document = json.loads(data.decode(), parse_constant=reject)
    except ValueError as error:
        raise AdapterError(f"{name} is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise AdapterError(f"{name} must hold a JSON object, not {type(document).__name__}")
    return document


def parse_tensors(data: bytes) -> dict[str, np.ndarray]:
    """{name: float32 or float16 array} of a safetensors file. Raises AdapterError."""
    header = int.from_bytes(data[:8], "little")
    if len(data) < 8 or header > MAX_HEADER_BYTES or 8 + header > len(data):
        raise AdapterError(
            f"{MODEL_FILE} ({len(data)} bytes) claims a header of {header} bytes, the limit is {MAX_HEADER_BYTES}"
        )
    try:
        tensors = safetensors_numpy.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, UnicodeError) as error:
        raise AdapterError(f"{MODEL_FILE} is not a safetensors file of float arrays: {error!r}") from None
    if not tensors:
        raise AdapterError(f"{MODEL_FILE} holds no tensor")
    for name, value in tensors.items():
        if value.dtype not in DTYPES:
            raise AdapterError(f"{MODEL_FILE}: tensor '{name}' is {value.dtype}, it must be float32 or float16")
    return tensors
