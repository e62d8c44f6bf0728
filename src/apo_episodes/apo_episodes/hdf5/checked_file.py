"""The parts of an episode file, each checked before it is returned: nothing from other files, nothing oversized."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import h5py
import numpy as np

from apo_core.contract.contract import Contract, contract_from_dict
from apo_core.contract.specs import ImageSpec
from apo_core.errors import ConfigError, EpisodeFormatError
from apo_episodes.hdf5.checksums import IMAGES, plain_attributes
from apo_episodes.hdf5.global_heap import check_global_heaps
from apo_episodes.hdf5.image_codec import filter_codec, unpack, unpack_jpeg
from apo_episodes.hdf5.schema import MAX_STEPS, SCHEMA_NAME, SCHEMA_VERSION
from apo_episodes.hdf5.video_codec import CODEC
from apo_episodes.hdf5.video_frames import VIDEO, GroupCache, VideoColumns, VideoFrames

_MAX_INFLATION = 20_000  # a black frame packs to a few hundred bytes; a larger claim never fits into memory
_MAX_TEXT = 1 << 20  # bytes of a reason
T = TypeVar("T")


class CheckedFile:
    """A file that returns its parts only if they are stored in the file itself and have the expected shape and type."""

    def __init__(self, path: Path, f: h5py.File):
        self.path, self.f = path, f
        self._size = path.stat().st_size

    def fail(self, message: str) -> NoReturn:
        """Raises EpisodeFormatError with the file's path."""
        raise EpisodeFormatError(f"{self.path}: {message}")

    def has(self, name: str) -> bool:
        """Whether there is something of this name in the file itself; no link to elsewhere is followed."""
        parts = name.split("/")
        return all(
            isinstance(self.f.get("/".join(parts[:depth]), getlink=True), h5py.HardLink)
            for depth in range(1, len(parts) + 1)
        )

    def own(self, name: str) -> h5py.Dataset:
        """A dataset that is stored in the file itself."""
        if not self.has(name):
            self.fail(f"dataset '{name}' is missing or is not stored in the file itself")
        dataset = self.f[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
            self.fail(f"'{name}' is not a dataset stored in the file itself")
        return dataset

    def sized(self, name: str, shape: tuple[int, ...], dtype: str) -> h5py.Dataset:
        """A complete dataset of this shape and type."""
        dataset = self.own(name)
        text = h5py.check_string_dtype(dataset.dtype)
        is_right = text is not None if dtype == "str" else dataset.dtype == np.dtype(dtype)
        if text is not None and text.length is None:
            check_global_heaps(self.path)
        if dataset.shape != shape or not is_right:
            self.fail(f"dataset '{name}' is {dataset.dtype} {dataset.shape}, expected {dtype} {shape}")
        if dataset.nbytes > _MAX_INFLATION * self._size:
            self.fail(f"dataset '{name}' claims {dataset.nbytes} bytes in a file of {self._size}")
        if dataset.chunks:
            chunks = int(np.prod([-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True)]))
            chunk_bytes = int(np.prod(dataset.chunks)) * dataset.dtype.itemsize
            if chunk_bytes > _MAX_INFLATION * self._size or dataset.id.get_num_chunks() < chunks:
                self.fail(f"dataset '{name}' has fewer chunks than its shape {shape} needs")
        elif dataset.id.get_storage_size() < dataset.nbytes:
            self.fail(f"dataset '{name}' has fewer bytes than its shape {shape} needs")
        return dataset

    def column(self, name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """Its values."""
        return self.sized(name, shape, dtype)[()]

    def optional(self, name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray | None:
        """Its values; None where the file has nothing of this name."""
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            place = "/".join(parts[:depth])
            if not self.f.id.links.exists(place.encode()):
                return None
            if not self.has(place):
                self.fail(f"'{place}' is not stored in the file itself")
        return self.column(name, shape, dtype)

    def texts(self, name: str, steps: int) -> tuple[str, ...]:
        """Texts of the steps."""
        values = self.column(name, (steps,), "str").tolist()
        if any(len(text) > _MAX_TEXT for text in values):
            self.fail(f"dataset '{name}' has texts of more than {_MAX_TEXT} bytes")
        return tuple(text.decode() for text in values)


class CameraFrames:
    """The frames of one camera, however they are stored.

    Args:
        checked: the file.
        spec: of the camera.
        steps: of the episode.
        cache: of decoded video; None: the last group only.
    """

    def __init__(self, checked: CheckedFile, spec: ImageSpec, steps: int, cache: GroupCache | None = None):
        self._spec, self._steps, self._jpeg = spec, steps, None
        self._video: VideoFrames | None = None
        if spec.dtype == np.uint8 and checked.has(VIDEO + spec.name):
            self._video = _video_frames(checked, spec, steps, cache or GroupCache())
            return
        jpeg = f"observation/jpeg/{spec.name}"
        if spec.dtype == np.uint8 and checked.has(jpeg):
            ends = checked.column(f"{jpeg}/end", (steps,), "i8")
            self._jpeg = checked.own(f"{jpeg}/bytes")
            size = int(ends[-1]) if steps else 0
            if np.any(np.diff(ends, prepend=0) <= 0):
                checked.fail(f"dataset '{jpeg}/end' does not rise")
            checked.sized(f"{jpeg}/bytes", (size,), "u1")
            self._ends = [0, *ends.tolist()]
            return
        self._dataset = checked.sized(IMAGES + spec.name, (steps, *spec.shape), spec.dtype.name)
        pipeline = self._dataset.id.get_create_plist()
        filters = [pipeline.get_filter(i)[0] for i in range(pipeline.get_nfilters())]
        whole = self._dataset.chunks == (1, *spec.shape)
        self._codec = (filter_codec(filters) if whole else None) or ""  # empty: HDF5 unpacks

    def stored(self, step: int) -> bytes | np.ndarray:
        """The frame as it is in the file; an array where HDF5 or a video codec unpacked it.

        Raises:
            IndexError: beyond the end.
        """
        if not 0 <= step < self._steps:
            raise IndexError(f"step {step} must be 0..{self._steps - 1}")
        if self._video is not None:
            return self._video.frame(step)
        if self._jpeg is not None:
            return self._jpeg[self._ends[step] : self._ends[step + 1]].tobytes()
        if not self._codec:
            return self._dataset[step]
        skipped, data = self._dataset.id.read_direct_chunk((step, 0, 0, 0))
        return self._dataset[step] if skipped else data

    def read_into(self, step: int, out: np.ndarray) -> None:
        """Puts the frame of a step into `out`, contiguous (H, W, C)."""
        stored = self.stored(step)
        if isinstance(stored, np.ndarray):
            out[...] = stored
        elif self._jpeg is not None:
            out[...] = unpack_jpeg(stored, self._spec.shape)
        else:
            unpack(stored, self._codec, out)

    def read(self, steps: Sequence[int]) -> np.ndarray:
        """(n, H, W, C) frames of these steps."""
        out = np.empty((len(steps), *self._spec.shape), self._spec.dtype)
        for index, step in enumerate(steps):
            self.read_into(int(step), out[index])
        return out


def _video_frames(checked: CheckedFile, spec: ImageSpec, steps: int, cache: GroupCache) -> VideoFrames:
    codec = json.loads(checked.f.attrs["video"])["codec"]
    if codec != CODEC:
        checked.fail(f"its video is {codec!r}, this software reads {CODEC!r}: update apo")
    place = VIDEO + spec.name
    ends = checked.column(f"{place}/end", (steps,), "i8")
    packets = checked.sized(f"{place}/bytes", (int(ends[-1]) if steps else 0,), "u1")
    if packets.id.get_create_plist().get_nfilters():  # a group could unpack to any size
        checked.fail(f"dataset '{place}/bytes' is packed by a filter")
    firsts, crcs = checked.column(f"{place}/first", (steps,), "i8"), checked.column(f"{place}/crc", (steps,), "u4")
    columns = VideoColumns(packets, ends, firsts, crcs)
    return VideoFrames((str(checked.path), spec.name), columns, spec.shape, cache)


def read_head(path: Path, f: h5py.File) -> tuple[CheckedFile, dict[str, Any], int, Contract]:
    """(checked file, attributes, steps, contract)."""
    checked = CheckedFile(path, f)
    if any(_has_variable_length(f, name) for name in f.attrs):  # version 1, or another program's file
        check_global_heaps(path)
    attrs = plain_attributes(f)
    if attrs.get("schema") != SCHEMA_NAME:
        checked.fail(f"schema = {attrs.get('schema')!r}, expected {SCHEMA_NAME!r}")
    version = int(attrs["schema_version"])
    if version > SCHEMA_VERSION:
        checked.fail(f"schema version {version} is newer than this software reads ({SCHEMA_VERSION}): update apo")
    if "num_steps" not in attrs:
        checked.fail("was never finished (no num_steps)")
    steps = int(attrs["num_steps"])
    if not 0 <= steps <= MAX_STEPS:
        checked.fail(f"num_steps = {steps} must be 0..{MAX_STEPS}")
    return checked, attrs, steps, contract_from_dict(json.loads(attrs["contract"]), f"contract in {path}")


def _has_variable_length(f: h5py.File, name: str) -> bool:
    kind = f.attrs.get_id(name).get_type()
    is_text = isinstance(kind, h5py.h5t.TypeStringID)
    return kind.is_variable_str() if is_text else isinstance(kind, h5py.h5t.TypeVlenID)


@contextmanager
def format_errors(path: Path) -> Iterator[None]:
    """Turns every error about the file into an EpisodeFormatError that names it."""
    try:
        yield
    except EpisodeFormatError as error:
        text = str(error)
        raise EpisodeFormatError(text if str(path) in text else f"{path}: {text}") from None
    except ConfigError as error:
        raise EpisodeFormatError(f"{path}: its contract is not usable: {error}") from None
    except Exception as error:  # h5py raises many types on a damaged file
        raise EpisodeFormatError(f"{path}: not a readable episode file ({type(error).__name__}: {error})") from None


def open_episode(path: Path, use: Callable[[Path, h5py.File], T]) -> T:
    """What `use(path, file)` returns. Raises EpisodeFormatError for every fault of the file."""
    with format_errors(path), h5py.File(path, "r") as f:
        return use(path, f)
