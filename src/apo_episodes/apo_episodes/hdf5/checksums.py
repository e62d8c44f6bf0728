"""Checksums of an episode's content, whatever filters it is stored with (docs/reference/episode_format.md)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import h5py
import numpy as np

IMAGES = "observation/images/"
_ROWS = 65536


def dataset_names(f: h5py.File) -> Iterator[str]:
    """Every dataset stored in the file itself; links are not followed."""

    seen = {h5py.h5o.get_info(f.id).addr}

    def walk(group: h5py.Group, prefix: str) -> Iterator[str]:
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            item = group[key]
            if isinstance(item, h5py.Dataset):
                yield prefix + key
            elif isinstance(item, h5py.Group):
                address = h5py.h5o.get_info(item.id).addr
                if address not in seen:  # a group that contains itself would never end
                    seen.add(address)
                    yield from walk(item, f"{prefix}{key}/")

    return walk(f, "")


def frames_checksum(digests: Sequence[bytes]) -> str:
    """Of a camera, from the sha256 digests of its frames."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def values_checksum(dataset: h5py.Dataset) -> str:
    """Of any other dataset."""
    digest = hashlib.sha256()
    for start in range(0, len(dataset), _ROWS):
        values = dataset[start : start + _ROWS]
        if values.dtype.kind in "OS":
            for text in values.tolist():
                digest.update(text + b"\0")
        else:
            digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def plain_attributes(f: h5py.File) -> dict[str, Any]:
    """All attributes of a file, as values of Python."""
    values = {name: value.item() if isinstance(value, np.generic) else value for name, value in f.attrs.items()}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


def attributes_checksum(attributes: Mapping[str, object]) -> str:
    """Of all attributes but `checksums`, from their plain values."""
    plain = {name: value for name, value in attributes.items() if name != "checksums"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
