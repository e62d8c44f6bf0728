"""Finished episodes whose lossless colour images become video; the lossless files stay beside them for a while.

Killed at any moment, `<folder>/<id>.h5` is one whole episode: the new file is made in `.compacting/`, put on the disk
and read whole; the lossless file gets a second name in `originals/`; then the new file takes the first name, unless the
episode was taken back meanwhile.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from apo_core.contract.specs import ImageSpec
from apo_core.errors import EpisodeToolError
from apo_core.system.atomic_files import exchange, move, sync
from apo_episodes.hdf5.checked_file import CameraFrames, CheckedFile, format_errors, open_episode, read_head
from apo_episodes.hdf5.checksums import IMAGES, plain_attributes
from apo_episodes.hdf5.video_codec import MAX_GOP, load_av
from apo_episodes.hdf5.video_file import CHANGED, Psnr, VideoFile
from apo_episodes.hdf5.video_frames import VIDEO
from apo_episodes.reader import read_episode, verify_checksums

GOP_LIMITS = (1, MAX_GOP)
VIDEO_CODEC = "video"  # image_compression of a compacted file
ORIGINALS = "originals"  # in the folder of the episodes
_WORK = ".compacting"
_LOSSLESS = ("zstd", "gzip", "none")
_WORST_FRAME_DB = 6.0  # a single frame may be this far below the floor


@dataclass(frozen=True, slots=True)
class CompactSettings:
    """How files are compacted, and what quality is demanded."""

    crf: int = 20  # quality of x264, 1 (best) .. 51
    gop: int = 10  # frames that are decoded to read one, within GOP_LIMITS
    floor_db: float = 38.0  # least PSNR of a camera over the episode


@dataclass(frozen=True, slots=True)
class Compaction:
    """What became of one file."""

    path: Path
    is_new: bool  # False: it stays as it was
    is_video: bool  # now
    reason: str = ""  # why it stays
    bytes_before: int = 0
    bytes_after: int = 0
    psnr_db: Mapping[str, float] = field(default_factory=dict)  # {camera: over the episode}


def compact_episode(
    path: Path, settings: CompactSettings, now: datetime, go_on: Callable[[], None] = lambda: None
) -> Compaction:
    """Replaces an episode file by one whose colour images are video, unless it loses too much or gains nothing.

    Args:
        path: a finished episode.
        settings: see CompactSettings.
        now: with a time zone.
        go_on: called between groups of frames; what it raises ends the work, and the file stays as it was.

    Raises:
        EpisodeFormatError: unreadable, or other content than its checksums state; or PyAV is missing.
        EpisodeToolError: another process compacts this folder, the file changes meanwhile, or the copy is not the same.
        OSError: the disk is full or gone; the file stays as it was.
    """
    load_av()
    with _work_file(path) as work:
        before = _state(path)
        if path.is_symlink():
            return Compaction(path, False, False, "is a symbolic link")
        reason, is_video = open_episode(path, _unfit)
        if reason:
            return Compaction(path, False, is_video, reason)
        psnr_db, reason = _build(path, work, settings, now, go_on)
        _check_unchanged(path, before)
        sizes = path.stat().st_size, work.stat().st_size
        if not reason and sizes[1] >= sizes[0]:
            reason = f"its video is not smaller: {sizes[1]} of {sizes[0]} bytes"
        if reason:
            return Compaction(path, False, False, reason, *sizes, psnr_db)
        _verify(path, work, settings, go_on)
        shutil.copymode(path, work)
        sync(work)
        _swap(path, work, before)
    return Compaction(path, True, True, "", *sizes, psnr_db)


def _unfit(path: Path, f: h5py.File) -> tuple[str, bool]:
    """(why a file is not one to be compacted or "", whether it is video already)."""
    _, attrs, steps, contract = read_head(path, f)
    if int(attrs["schema_version"]) < 2:
        return "is of schema version 1, which has no checksums", False
    codec = attrs["image_compression"]
    if codec not in _LOSSLESS:
        return f"its images are {codec} already", codec == VIDEO_CODEC
    return "" if steps and _colour(contract.images) else "has no colour images", False


def _colour(specs: Sequence[ImageSpec]) -> list[ImageSpec]:
    return [spec for spec in specs if spec.dtype == np.uint8]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[CheckedFile, dict[str, CameraFrames], list[ImageSpec], int]]:
    """(checked file, frames of the colour cameras, these cameras, steps)."""
    with format_errors(path):
        file = h5py.File(path, "r")
    with file:
        with format_errors(path):
            checked, _, steps, contract = read_head(path, file)
            specs = _colour(contract.images)
            frames = {spec.name: CameraFrames(checked, spec, steps) for spec in specs}
        yield checked, frames, specs, steps


def _build(
    path: Path, work: Path, settings: CompactSettings, now: datetime, go_on: Callable[[], None]
) -> tuple[dict[str, float], str]:
    """({camera: PSNR in dB}, why the quality does not do or "")."""
    with path.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    with _opened(path) as (checked, frames, specs, steps):
        file = VideoFile(checked, work)
        try:
            file.copy_facts([spec.name for spec in specs])
            quality = {}
            for spec in specs:
                quality[spec.name] = file.add_camera(spec, frames[spec.name], steps, settings.crf, settings.gop, go_on)
            psnr_db = {name: round(psnr.mean_db, 2) for name, psnr in quality.items()}
            original = {"sha256": sha256, "frames": {spec.name: file.sums[IMAGES + spec.name] for spec in specs}}
            video = {"crf": settings.crf, "gop": settings.gop, "psnr_db": psnr_db}
            file.finish({**video, "compacted_utc": now.isoformat(), "original": original})
        except BaseException:
            file.close()
            raise
    return psnr_db, _too_low(quality, settings.floor_db)


def _too_low(quality: Mapping[str, Psnr], floor_db: float) -> str:
    for name, psnr in quality.items():
        if psnr.mean_db < floor_db:
            return f"camera '{name}' would have {psnr.mean_db:.1f} dB, the floor is {floor_db:g} (--floor, --crf)"
        least = floor_db - _WORST_FRAME_DB
        if psnr.worst_db < least:
            return f"a frame of camera '{name}' would have {psnr.worst_db:.1f} dB, {least:g} is least (--floor, --crf)"
    return ""


def _verify(path: Path, work: Path, settings: CompactSettings, go_on: Callable[[], None]) -> None:
    """Reads the new file whole and compares it with the lossless one."""
    faults = [f"'{name}' is not what was written" for name in verify_checksums(work)]
    read_episode(work, images=False)
    with _opened(path) as (old, lossless, specs, steps), _opened(work) as (new, video, _, _):
        ours, theirs = plain_attributes(new.f), plain_attributes(old.f)
        kept = (set(ours) | set(theirs)) - CHANGED
        faults += [f"attribute '{name}' differs" for name in sorted(kept) if ours.get(name) != theirs.get(name)]
        sums, before = (json.loads(values["checksums"])["datasets"] for values in (ours, theirs))
        replaced = {IMAGES + spec.name for spec in specs}
        added = {f"{VIDEO}{spec.name}/{part}" for spec in specs for part in ("bytes", "end", "first", "crc")}
        if set(sums) - added != set(before) - replaced:
            faults.append("its datasets are others")
        faults += [f"dataset '{n}' differs" for n in sorted(set(before) - replaced) if sums.get(n) != before[n]]
        quality = {spec.name: Psnr() for spec in specs}
        for spec in specs:
            for first in range(0, steps, settings.gop):
                go_on()
                rows = range(first, min(first + settings.gop, steps))
                with format_errors(path):
                    originals = lossless[spec.name].read(rows)
                with format_errors(work):
                    quality[spec.name].add(video[spec.name].read(rows), originals)
    faults += [text for text in [_too_low(quality, settings.floor_db)] if text]
    if faults:
        raise EpisodeToolError(f"{path}: stays as it is, its compacted copy is wrong: {'; '.join(faults)}")


def _swap(path: Path, work: Path, before: tuple[int, ...]) -> None:
    """Keeps the lossless file under a second name and puts the new one in its place."""
    original = path.parent / ORIGINALS / path.name
    original.parent.mkdir(exist_ok=True)
    sync(path.parent)
    _check_unchanged(path, before)
    if not original.exists():
        _second_name(path, original)
    elif not _same_content(path, original):
        raise EpisodeToolError(f"{original}: is there already, with other content than {path}; move it elsewhere")
    try:
        exchange(work, path)
    except FileNotFoundError:
        raise _changed(path) from None
    except OSError:  # not on this file system
        _check_unchanged(path, before)
        os.replace(work, path)
    else:
        if _state(work) != before:  # another file has taken the name since
            exchange(work, path)
            raise _changed(path)
    sync(path.parent)


def _second_name(path: Path, original: Path) -> None:
    partial = original.with_name(f"{original.name}.partial")
    partial.unlink(missing_ok=True)  # of a process that was killed
    try:
        os.link(path, original)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(path, partial)
        sync(partial)
        move(partial, original)
    sync(original.parent)


def _same_content(path: Path, original: Path) -> bool:
    if original.samefile(path):
        return True
    with path.open("rb") as one, original.open("rb") as other:
        return hashlib.file_digest(one, "sha256").digest() == hashlib.file_digest(other, "sha256").digest()


def _state(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _check_unchanged(path: Path, before: tuple[int, ...]) -> None:
    if not path.exists() or _state(path) != before:
        raise _changed(path)


def _changed(path: Path) -> EpisodeToolError:
    return EpisodeToolError(f"{path}: was changed or moved while it was compacted; what is there stays as it is")


@contextmanager
def _work_file(path: Path) -> Iterator[Path]:
    """A path for the new file, on the file system of the episode, in a folder that one process at a time has."""
    folder = path.parent / _WORK
    while True:
        folder.mkdir(exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat()):
                break
        except BlockingIOError:
            os.close(descriptor)
            raise EpisodeToolError(f"{path.parent}: another process compacts its episodes") from None
        os.close(descriptor)  # whoever had the folder has removed it
    try:
        for left in folder.iterdir():  # by a process that was killed
            left.unlink()
        yield folder / path.name
    finally:
        (folder / path.name).unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()
        os.close(descriptor)


def video_facts(path: Path) -> dict[str, Any] | None:
    """What a compacted file states about its video (docs/reference/episode_format.md); None for any other file.

    Raises:
        EpisodeFormatError: not a readable episode file.
    """

    def read(path: Path, f: h5py.File) -> dict[str, Any] | None:
        attrs = read_head(path, f)[1]
        if attrs.get("image_compression") != VIDEO_CODEC:
            return None
        facts: dict[str, Any] = json.loads(attrs["video"])
        if not isinstance(facts["original"]["sha256"], str):
            raise ValueError("attribute 'video' does not name the lossless file")
        _compacted(facts)
        return facts

    return open_episode(path, read)


def lossless_sha256(path: Path) -> str:
    """SHA-256 of the file that a compacted one was made of; "" for any other file. Raises EpisodeFormatError."""
    facts = video_facts(path)
    return "" if facts is None else str(facts["original"]["sha256"])


def _compacted(facts: Mapping[str, Any]) -> datetime:
    moment = datetime.fromisoformat(facts["compacted_utc"])
    if moment.utcoffset() is None:
        raise ValueError("compacted_utc is without a time zone")
    return moment


def release_original(path: Path, keep_days: float, now: datetime) -> str | None:
    """Removes the lossless file of a compacted episode after its time.

    Args:
        path: the episode.
        keep_days: since it was compacted.
        now: with a time zone.

    Returns:
        None where it was removed or there is none, else why it stays.

    Raises:
        EpisodeFormatError: the compacted file is not readable.
        OSError: the lossless file cannot be removed.
    """
    original = path.parent / ORIGINALS / path.name
    if not original.exists():
        return None
    facts = video_facts(path)
    if facts is None:
        return "the episode is not video"
    age = now - _compacted(facts)
    if age < timedelta(days=keep_days):
        return f"compacted {age.total_seconds() / 86400:.1f} days ago"
    with original.open("rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != facts["original"]["sha256"]:
            return "it is not the file that the episode was made of"
    if wrong := verify_checksums(path):
        return f"the compacted file is damaged: {', '.join(wrong)}"
    original.unlink()
    sync(original.parent)
    return None
