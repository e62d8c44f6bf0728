"""What a person decided about an episode after its recording: a file beside it, so that the recorded facts stay.

`<id>.annotation.json` beside `<id>.h5` holds every decision, the oldest first; the last one counts. Readers of
episodes apply it (`reader.read_episode`), so that training, tables and exports see the corrected outcome.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from apo_core.errors import EpisodeFormatError, EpisodeToolError
from apo_core.system.atomic_files import replace_file
from apo_core.types import Outcome

SCHEMA_NAME, SCHEMA_VERSION = "apo.episode_annotation", 1
SUFFIX = ".annotation.json"
_MAX_BYTES = 1 << 18
_MAX_DECISIONS = 200
_MAX_TEXT = 500  # characters


@dataclass(frozen=True, slots=True)
class Annotation:
    """A decision about the outcome."""

    outcome: str  # SUCCESS, FAILURE or UNLABELED; empty: the recorded one counts again
    note: str  # why
    author: str
    created_utc: str  # ISO 8601


def annotation_path(episode: Path | str) -> Path:
    """The file of the decisions about an episode file."""
    return Path(episode).with_suffix(SUFFIX)


def read_annotations(episode: Path | str, episode_id: str) -> list[Annotation]:
    """All decisions about an episode, oldest first; empty without any.

    Args:
        episode: its file.
        episode_id: of the recording.

    Raises:
        EpisodeFormatError: the file beside the episode is damaged, too large, or of another episode.
    """
    path = annotation_path(episode)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EpisodeFormatError(f"{path}: cannot be read: {error}") from None
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(_MAX_BYTES + 1)
    try:
        if len(data) > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES} bytes")
        document = json.loads(data)
        if (document["schema"], document["schema_version"]) != (SCHEMA_NAME, SCHEMA_VERSION):
            raise ValueError(f"is not {SCHEMA_NAME} {SCHEMA_VERSION}")
        if document["episode_id"] != episode_id:
            raise ValueError(f"is of episode {str(document['episode_id'])[:80]!r}")
        return [_checked(Annotation(**decision)) for decision in document["decisions"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EpisodeFormatError(
            f"{path}: not an annotation ({error}); remove it to see the recorded outcome"
        ) from None


def annotate(episode: Path | str, episode_id: str, decision: Annotation) -> None:
    """Adds a decision.

    Args:
        episode: the file that it is about.
        episode_id: of the recording.
        decision: texts are cut to what a file holds.

    Raises:
        EpisodeToolError: the episode is missing, or the file cannot be written.
        EpisodeFormatError: the file with earlier decisions is damaged.
    """
    episode = Path(episode)
    if not episode.is_file():
        raise EpisodeToolError(f"{episode}: does not exist")
    made = replace(decision, note=decision.note[:_MAX_TEXT], author=decision.author[:_MAX_TEXT])
    path = annotation_path(episode)
    try:
        with _locked(episode.parent):
            decisions = [*read_annotations(episode, episode_id), made][-_MAX_DECISIONS:]
            document = {
                "schema": SCHEMA_NAME,
                "schema_version": SCHEMA_VERSION,
                "episode_id": episode_id,
                "decisions": [asdict(decision) for decision in decisions],
            }
            replace_file(path, json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise EpisodeToolError(f"{path}: cannot be written: {error}") from None


def _checked(decision: Annotation) -> Annotation:
    if not all(isinstance(text, str) and len(text) <= _MAX_TEXT for text in asdict(decision).values()):
        raise ValueError(f"a decision has a field that is not a text of at most {_MAX_TEXT} characters")
    if decision.outcome:
        Outcome(decision.outcome)
    return decision


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Locks a folder against other writers of annotations."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
