"""Parameters of the recorder (config/recorder.yaml)."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.config.parameters import group, parameter
from apo_core.content_watch import MOVED_M
from apo_core.tasks.specs import DEFAULT_TASK
from apo_episodes.compaction import VIDEO_CODEC
from apo_episodes.hdf5.image_codec import COMPRESSIONS
from apo_recorder.background.config import BackgroundConfig


@dataclass(frozen=True, slots=True)
class RecorderConfig:
    """Where and how episodes are recorded."""

    contract_file: str = parameter("config/contract.yaml", "the contract: what is recorded")
    episode_dir: str = parameter("runs/episodes", "folder of the episode files; created when missing")
    image_compression: str = parameter(
        "zstd",
        "codec of the images: zstd, gzip, none are lossless; jpeg shrinks 84x84 frames to 0.14 instead of 0.44; video "
        "records zstd and makes H.264 of it later (docs/reference/episode_format.md)",
        choices=(*COMPRESSIONS, VIDEO_CODEC),
    )
    jpeg_quality: int = parameter(95, "of image_compression jpeg; depth images stay lossless", low=1, high=100)
    pre_roll_s: float = parameter(0.0, "s before the start of an episode that are kept in it", low=0.0, high=60.0)
    queue_steps: int = parameter(
        200, "steps that may wait for the disk; further ones are lost and counted", low=1, high=100_000
    )
    lockstep: bool = parameter(False, "true: a command is paired with the observation of exactly its stamp")
    pairing_tolerance_s: float = parameter(
        0.075,
        "otherwise with the newest observation at most this much older than the command's observation stamp",
        low=0.0,
        high=10.0,
    )
    observation_wait_s: float = parameter(
        0.5, "s a command waits for its observation before the step is counted as lost", low=0.0, high=60.0
    )
    end_wait_s: float = parameter(
        2.0, "s the end of an episode waits for the command that answers its last observation", low=0.0, high=60.0
    )
    auto: bool = parameter(False, "true: every trial of task/status is an episode; false: wait for ~/start_episode")
    frozen_m: float = parameter(
        MOVED_M,
        "m that the arm moves without new content of a camera or joint state before the recorder warns; 0: never",
        low=0.0,
        high=10.0,
    )
    buttons: bool = parameter(
        True, "true: the operator device's events start, success, failure, discard, undo_last act on the recorder"
    )
    task: str = parameter(DEFAULT_TASK.name, "written into the files; ~/start_episode may name another")
    instruction: str = parameter(DEFAULT_TASK.instruction, "the same")
    operator_name: str = parameter("", "the same")
    robot: str = parameter("", "name of this robot, a tag of its files; the trainer balances over robots; empty: none")
    site: str = parameter("", "where it stands, likewise")
    sensor_reliability: str = parameter("reliable", "QoS of images and state", choices=("reliable", "best_effort"))
    background: BackgroundConfig = group(BackgroundConfig)

    @property
    def makes_video(self) -> bool:
        """Whether the images of finished episodes become video."""
        return self.image_compression == VIDEO_CODEC

    @property
    def recorded_compression(self) -> str:
        """Codec of the images while an episode is recorded."""
        return "zstd" if self.makes_video else self.image_compression
