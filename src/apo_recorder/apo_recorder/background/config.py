"""Parameters of the background process (config/recorder.yaml), and what rules them out on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.config.parameters import parameter
from apo_core.errors import EpisodeFormatError
from apo_core.remote.address import name_fault, parse_options, url_fault
from apo_episodes.compaction import GOP_LIMITS, CompactSettings
from apo_episodes.hdf5.video_codec import load_av
from apo_recorder.background.job import Job, UploadJob, VideoJob

_USUAL = CompactSettings()


@dataclass(frozen=True, slots=True)
class BackgroundConfig:
    """What happens to finished episodes beside the recording."""

    upload_url: str = parameter(
        "",
        "store that gets finished episodes, a URL of fsspec: a folder, s3://bucket/folder, gs://..., ...; empty: none "
        "(docs/how-to/episode_tools.md)",
    )
    upload_robot: str = parameter(
        "", "name of this robot in the store; empty: that of `robot`, and where it is empty too, of the machine"
    )
    upload_options: str = parameter(
        "",
        "of the store's file system, NAME=VALUE separated by spaces, e.g. endpoint_url=http://host:9000; credentials "
        "belong in the environment or ~/.aws",
    )
    background_interval_s: float = parameter(
        10.0, "s between two looks for finished episodes to upload or to make video of", low=1.0, high=86_400.0
    )
    video_delay_s: float = parameter(
        600.0,
        "of image_compression video: s after an episode was written, for a person to take it back; uploads wait for it",
        low=0.0,
        high=604_800.0,
    )
    video_crf: int = parameter(_USUAL.crf, "quality of x264, 1 the best", low=1, high=51)
    video_gop: int = parameter(_USUAL.gop, "frames that are decoded to read one", low=GOP_LIMITS[0], high=GOP_LIMITS[1])
    video_floor_db: float = parameter(
        _USUAL.floor_db, "least PSNR of a camera, dB; an episode below it stays lossless", low=0.0, high=100.0
    )
    originals_days: float = parameter(
        7.0, "days for which the lossless file stays in originals/; -1: for ever", low=-1.0, high=36_500.0
    )

    def robot_name(self, robot: str, machine: str) -> str:
        """Name of this robot in the store.

        Args:
            robot: the recorder's parameter.
            machine: name of this machine.
        """
        return self.upload_robot or robot or machine

    def faults(self, robot: str, machine: str, with_video: bool) -> list[str]:
        """Why the work cannot be done on this machine; empty: it can, or none is wanted. Arguments as of `job`."""
        found = self._upload_faults(self.robot_name(robot, machine)) if self.upload_url else []
        if with_video:
            try:
                load_av()
            except EpisodeFormatError as error:
                found.append(f"image_compression = 'video': {error}")
        return found

    def _upload_faults(self, name: str) -> list[str]:
        found = list[str]()
        if fault := url_fault(self.upload_url):
            found.append(f"upload_url = {self.upload_url!r} {fault}")
        if fault := name_fault(name):
            source = "" if self.upload_robot else f" takes {name!r}, which"
            found.append(f"upload_robot = {self.upload_robot!r}{source} {fault}")
        try:
            parse_options(self.upload_options.split())
        except ValueError as error:
            found.append(f"upload_options = {self.upload_options!r}: {error}")
        return found

    def job(self, folder: str, robot: str, machine: str, with_video: bool) -> Job | None:
        """What the child is to do; None: there is no work for one.

        Args:
            folder: of the episodes.
            robot: the recorder's parameter.
            machine: name of this machine.
            with_video: whether the images are to become video.
        """
        upload = video = None
        if self.upload_url:
            options = parse_options(self.upload_options.split())
            upload = UploadJob(self.upload_url, self.robot_name(robot, machine), options)
        if with_video:
            video = VideoJob(
                self.video_delay_s, self.video_crf, self.video_gop, self.video_floor_db, self.originals_days
            )
        return Job(folder, self.background_interval_s, upload, video) if upload or video else None
