"""Makes an episode file of the journal that a crash left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apo_core.contract.contract import contract_from_dict
from apo_core.errors import EpisodeFormatError
from apo_core.system.atomic_files import move
from apo_core.types import EpisodeInfo, EpisodeKind, EpisodeOutcome, Outcome
from apo_episodes.hdf5.image_codec import COMPRESSIONS, PackedFrame
from apo_episodes.hdf5.writer import Hdf5Writer
from apo_episodes.journal import SUFFIX, JournalReader

RECOVERED = EpisodeOutcome(Outcome.UNLABELED, "recovered", terminated=False, truncated=False)


def list_partial(directory: Path | str) -> list[Path]:
    """Journals of an episode folder: crashed recordings, and one in progress."""
    return sorted((Path(directory) / ".partial").glob(f"*{SUFFIX}"))


def recover_episode(partial: Path | str) -> Path:
    """Publishes the steps that are whole as an UNLABELED episode and removes the journal; returns the episode's path.

    Args:
        partial: `<episode_dir>/.partial/<id>.journal`.

    Raises:
        EpisodeFormatError: no journal, still being recorded, or without a whole step; it stays as it is.
        OSError: the disk is full or gone; the journal stays as it is.
    """
    partial = Path(partial)
    journal = JournalReader(partial)
    try:
        info, compression = _head(partial, journal.head)
        path = partial.parent.parent / f"{info.episode_id}.h5"
        unfinished = partial.with_suffix(".h5")
        if not path.exists():  # else the crash came between publishing and the end of the journal
            _build(partial, journal, info, compression, unfinished)
            move(unfinished, path)
        unfinished.unlink(missing_ok=True)
        partial.unlink()
        return path
    finally:
        journal.close()


def _head(partial: Path, head: Mapping[str, Any]) -> tuple[EpisodeInfo, str]:
    try:
        fields = dict(head["info"])
        info = EpisodeInfo(**{**fields, "kind": EpisodeKind(fields["kind"])})
        compression = head["image_compression"]
    except (KeyError, TypeError, ValueError) as error:
        raise EpisodeFormatError(f"{partial}: does not describe an episode ({error})") from None
    if info.episode_id != partial.stem or compression not in COMPRESSIONS:
        raise EpisodeFormatError(f"{partial}: does not describe the episode of its name")
    return info, compression


def _build(partial: Path, journal: JournalReader, info: EpisodeInfo, compression: str, unfinished: Path) -> None:
    file = None
    try:
        contract = contract_from_dict(json.loads(info.contract_json), f"contract in {partial}")
        file = Hdf5Writer(unfinished, info, contract, compression)
        ticks = []
        for facts, blobs in journal.records():
            frames, offset = [], 0
            for length, digest in facts["frames"]:
                frames.append(PackedFrame(blobs[offset : offset + length], bytes.fromhex(digest)))
                offset += length
            ticks.append(facts["row"]["control/tick"])
            file.append(facts["row"], frames)
        if not ticks:
            raise EpisodeFormatError(f"{partial}: holds no whole step; nothing of this episode was recorded")
        cameras = len(contract.images)
        lost = ticks[-1] - ticks[0] + 1 - len(ticks)
        losses = {"frames_recorded": len(ticks) * cameras, "commands_lost": lost, "frames_lost": lost * cameras}
        file.finish(RECOVERED, losses, {})
        file = None
    except (OSError, EpisodeFormatError):
        raise
    except Exception as error:  # a record may hold anything but a step
        raise EpisodeFormatError(f"{partial}: not a journal of an episode ({type(error).__name__}: {error})") from None
    finally:
        if file is not None:
            file.close()
            unfinished.unlink(missing_ok=True)
