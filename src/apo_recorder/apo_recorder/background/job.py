"""What the child is to do, as the line that it reads first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class UploadJob:
    """Episodes to a store."""

    url: str  # of the store
    robot: str  # name in the store
    options: Mapping[str, str] = field(default_factory=dict)  # of the store's file system


@dataclass(frozen=True, slots=True)
class VideoJob:
    """Lossless colour images to video (`apo_episodes.compaction`)."""

    delay_s: float  # after an episode was written
    crf: int
    gop: int  # frames
    floor_db: float  # least PSNR of a camera
    originals_days: float  # for which the lossless file stays; negative: for ever


@dataclass(frozen=True, slots=True)
class Job:
    """All that is to be done to the episodes of a folder."""

    folder: str
    interval_s: float  # between two looks
    upload: UploadJob | None = None
    video: VideoJob | None = None

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Job:
        """The reverse of `to_json`."""
        data = json.loads(line)
        upload = UploadJob(**data["upload"]) if data["upload"] else None
        video = VideoJob(**data["video"]) if data["video"] else None
        return cls(data["folder"], data["interval_s"], upload, video)
