"""Checks the global heaps of an HDF5 file, where texts of variable length are: HDF5 hangs on a damaged one.

Layout: HDF5 File Format Specification version 3.0, section III.E.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from apo_core.errors import EpisodeFormatError

_SIGNATURE = b"GCOL\x01\0\0\0"  # with version and reserved bytes, so that no image data look like it
_HEAD = struct.Struct("<8sQ")  # signature, size of the collection
_OBJECT = struct.Struct("<HHIQ")  # index, references, reserved, size


def check_global_heaps(path: Path) -> None:
    """Raises EpisodeFormatError when a collection is inconsistent."""
    if not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        position = content.find(_SIGNATURE)
        while position >= 0:
            position = content.find(_SIGNATURE, _end(path, content, position))


def _end(path: Path, content: mmap.mmap, start: int) -> int:
    if start + _HEAD.size > len(content):
        raise EpisodeFormatError(f"{path}: global heap at byte {start} is cut off")
    _, size = _HEAD.unpack_from(content, start)
    end, position = start + size, start + _HEAD.size
    if not start + _HEAD.size <= end <= len(content):
        raise EpisodeFormatError(f"{path}: global heap at byte {start} claims {size} bytes")
    while position + _OBJECT.size <= end:
        index, _, _, length = _OBJECT.unpack_from(content, position)
        # index 0 is the free room, whose size counts its head
        need = length if index == 0 else _OBJECT.size + (length + 7) // 8 * 8
        if not _OBJECT.size <= need <= end - position:
            raise EpisodeFormatError(f"{path}: global heap at byte {start} has an object of {length} bytes")
        position += need
    return end
