"""An episode file whose colour images are video, made from one whose images are lossless: the rest is copied."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from apo_core.contract.specs import ImageSpec
from apo_episodes.hdf5.checked_file import CameraFrames, CheckedFile, format_errors
from apo_episodes.hdf5.checksums import (
    IMAGES,
    attributes_checksum,
    dataset_names,
    frames_checksum,
    plain_attributes,
    values_checksum,
)
from apo_episodes.hdf5.disk_file import DiskFile
from apo_episodes.hdf5.schema import SCHEMA_MINOR
from apo_episodes.hdf5.video_codec import CODEC, decode_group, encode_group
from apo_episodes.hdf5.video_frames import VIDEO

CHANGED = frozenset({"schema_minor", "image_compression", "checksums", "video"})  # attributes
_PEAK = 255.0
_EQUAL_DB = 99.0  # stands for frames that are the same
_CHUNK = 1 << 14  # bytes


class Psnr:
    """Peak signal-to-noise ratio of frames, uint8."""

    def __init__(self) -> None:
        self._sum, self._count, self._worst = 0.0, 0, 0.0

    def add(self, frames: np.ndarray, originals: np.ndarray) -> None:
        """Counts (n, H, W, C) frames."""
        import cv2

        for frame, original in zip(frames, originals, strict=True):
            error = cv2.norm(frame, original, cv2.NORM_L2SQR) / frame.size
            self._sum, self._count, self._worst = self._sum + error, self._count + 1, max(self._worst, error)

    @property
    def mean_db(self) -> float:
        """Of all frames together."""
        return _decibels(self._sum / max(self._count, 1))

    @property
    def worst_db(self) -> float:
        """Of the worst frame."""
        return _decibels(self._worst)


def _decibels(error: float) -> float:
    return _EQUAL_DB if error == 0 else min(10 * math.log10(_PEAK**2 / error), _EQUAL_DB)


class VideoFile:
    """The file as it is made. Not thread-safe.

    Args:
        source: of schema version 2, with lossless images.
        target: created or emptied.

    Raises:
        EpisodeFormatError: the source has other attributes than their checksum states.
        OSError: it cannot be created.
    """

    def __init__(self, source: CheckedFile, target: Path):
        self._source = source
        with format_errors(source.path):
            checksums = json.loads(source.f.attrs["checksums"])
            self.sums: dict[str, str] = dict(checksums["datasets"])  # of the source
            if attributes_checksum(plain_attributes(source.f)) != checksums["attributes"]:
                source.fail("its attributes are not what was recorded")
        self._disk = DiskFile(target)
        self._file = h5py.File(self._disk, "w", libver="latest")

    def copy_facts(self, cameras: Sequence[str]) -> None:
        """Copies all but the images of these cameras, and compares each copy with its checksum.

        Raises:
            EpisodeFormatError: the source has other content than its checksums state.
        """
        with format_errors(self._source.path):
            self._copy({IMAGES + name for name in cameras})

    def _copy(self, left_out: set[str]) -> None:
        names = set(dataset_names(self._source.f))
        if names != set(self.sums):
            self._source.fail(f"datasets {sorted(names ^ set(self.sums))} are not those of its checksums")
        for name in sorted(names - left_out):
            dataset = self._source.own(name)
            self._file.require_group(name.rpartition("/")[0] or "/")
            self._source.f.copy(dataset, self._file, name)
            if not name.startswith(IMAGES) and values_checksum(self._file[name]) != self.sums[name]:
                self._source.fail(f"dataset '{name}' is not what was recorded")

    def add_camera(
        self, spec: ImageSpec, frames: CameraFrames, steps: int, crf: int, gop: int, go_on: Callable[[], None]
    ) -> Psnr:
        """Encodes the frames of a camera.

        Args:
            spec: of the camera.
            frames: lossless.
            steps: of the episode.
            crf: see `encode_group`.
            gop: frames of a group, 1..MAX_GOP.
            go_on: called before each group; what it raises ends the work.

        Returns:
            How near the decoded frames come to the lossless ones.

        Raises:
            EpisodeFormatError: the source has other frames than its checksum states.
            OSError: the disk is full or gone.
        """
        place = VIDEO + spec.name
        packets = self._file.create_dataset(f"{place}/bytes", (0,), "u1", maxshape=(None,), chunks=(_CHUNK,))
        ends, firsts, crcs, digests = list[int](), list[int](), list[int](), list[bytes]()
        psnr = Psnr()
        for first in range(0, steps, gop):
            go_on()
            with format_errors(self._source.path):
                group = frames.read(range(first, min(first + gop, steps)))
            digests += [hashlib.sha256(frame.data).digest() for frame in group]
            coded = encode_group(group, crf)
            psnr.add(decode_group(coded, spec.shape), group)
            start = ends[-1] if ends else 0
            for packet in coded:
                ends.append((ends[-1] if ends else 0) + len(packet))
                crcs.append(zlib.crc32(packet))
            firsts += [first] * len(group)
            packets.resize(ends[-1], axis=0)
            packets[start:] = np.frombuffer(b"".join(coded), np.uint8)
            self._disk.check()
        if frames_checksum(digests) != self.sums[IMAGES + spec.name]:
            self._source.fail(f"dataset '{IMAGES}{spec.name}' is not what was recorded")
        for name, values, dtype in (("end", ends, "i8"), ("first", firsts, "i8"), ("crc", crcs, "u4")):
            self._file.create_dataset(f"{place}/{name}", data=np.array(values, dtype))
        return psnr

    def finish(self, facts: Mapping[str, object]) -> None:
        """Completes the file and puts it on the disk.

        Args:
            facts: about the video, for its attribute.

        Raises:
            OSError: the disk is full or gone.
        """
        attributes = self._source.f.attrs
        for name in attributes:
            if name not in CHANGED:
                self._file.attrs.create(name, attributes[name], dtype=attributes.get_id(name).dtype)
        minor = max(SCHEMA_MINOR, int(attributes.get("schema_minor", 0)))
        self._file.attrs["schema_minor"] = minor
        self._text("image_compression", "video")
        self._text("video", json.dumps({"codec": CODEC, **facts}, sort_keys=True))
        sums = {
            name: self.sums[name] if name in self.sums else values_checksum(self._file[name])
            for name in dataset_names(self._file)
        }
        checksums = {"datasets": sums, "attributes": attributes_checksum(plain_attributes(self._file))}
        self._text("checksums", json.dumps(checksums, sort_keys=True))
        self._file.close()
        self._disk.sync()
        self._disk.close()

    def _text(self, name: str, text: str) -> None:
        data = text.encode()
        self._file.attrs.create(name, data, dtype=h5py.string_dtype("utf-8", len(data)))

    def close(self) -> None:
        """Closes the file as it is."""
        self._file.close()
        self._disk.close()
