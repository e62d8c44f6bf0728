"""Episodes as a LeRobotDataset v3.0: numbers in parquet, cameras in MP4 (or PNG in the parquet), meta beside them.

Layout: https://huggingface.co/docs/lerobot/lerobot-dataset-v3. Needs pyarrow (requirements/export.in).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from apo_core.contract.contract import Contract
from apo_core.contract.specs import ImageSpec
from apo_core.errors import EpisodeToolError
from apo_core.types import ControlSource, Outcome, StepLabel
from apo_episodes.episode import Episode
from apo_episodes.files import extra_module, frame_blocks, new_folder, one_contract, unique_ids
from apo_episodes.formats.lerobot.feature_statistics import PixelMoments, moments
from apo_episodes.formats.lerobot.parquet import Shards, make_table, write_meta
from apo_episodes.formats.lerobot.video import RollingVideo, VideoPlace, encode_png
from apo_episodes.formats.unit_actions import shown_actions
from apo_episodes.inspection.view import as_rgb
from apo_episodes.labeling import LabelRule

CODEBASE_VERSION = "v3.0"
CHUNKS_SIZE = 1000  # files in a folder
# c_t of arXiv 2506.07127; -1 takes no part
LABEL_CODES = {
    StepLabel.DESIRABLE: 1,
    StepLabel.CORRECTED: 2,
    StepLabel.UNDESIRABLE: 0,
    StepLabel.UNUSED: -1,
}
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH = f"data/{_FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{_FILE}.mp4"


@dataclass(frozen=True, slots=True)
class LeRobotOptions:
    """How to export."""

    rule: LabelRule = field(default_factory=LabelRule)  # of the feature `label`
    images: str = "video"  # or png: lossless, larger
    robot_type: str = ""
    data_mb: int = 100  # of a parquet file, before the next one is begun
    video_mb: int = 200  # of an MP4 file


def export_lerobot(episodes: Sequence[Episode], target: Path, options: LeRobotOptions) -> int:
    """Writes the episodes into a new folder, actions in contract units; returns the number of frames.

    Raises:
        EpisodeToolError: pyarrow is missing, contracts that differ, an empty episode, a control rate that is no whole
            number, frames that MPEG-4 cannot hold, or a target that exists.
    """
    extra_module("pyarrow.parquet", "pyarrow", "export")
    contract = one_contract(episodes)
    unique_ids(episodes)
    _check(episodes, contract, options)
    features = _features(contract, options)
    keys = {f"observation.images.{spec.name}": spec for spec in contract.images}
    with new_folder(target) as folder:
        videos = {
            key: RollingVideo(folder, key, VIDEO_PATH, contract.rate_hz, options.video_mb * 2**20, CHUNKS_SIZE)
            for key in (keys if options.images == "video" else ())
        }
        data = Shards(folder, DATA_PATH, options.data_mb * 2**20, CHUNKS_SIZE)
        tasks = {text: index for index, text in enumerate(dict.fromkeys(e.info.instruction for e in episodes))}
        rows, numbers, pixels = [], [], {key: PixelMoments() for key in keys}
        start = 0
        try:
            for index, episode in enumerate(episodes):
                columns = _columns(episode, index, start, tasks, options.rule)
                own = {key: PixelMoments() for key in keys}
                pngs, places = _write_images(episode, keys, videos, own)
                place = data.write(make_table(columns, pngs, features))
                stats = {key: moments(values) for key, values in columns.items()}
                stats |= {key: one.moments(episode.num_steps) for key, one in own.items()}
                rows.append(_episode_row(episode, index, start, place, places, stats))
                numbers.append(columns)
                for key, one in own.items():
                    pixels[key].add(one)
                start += episode.num_steps
        finally:
            data.close()
            for video in videos.values():
                video.close()
        whole = {key: moments(np.concatenate([part[key] for part in numbers])) for key in numbers[0]}
        whole |= {key: one.moments(start) for key, one in pixels.items()}
        write_meta(folder, rows, whole, tasks, _info(contract, features, len(episodes), start, len(tasks), options))
    return start


def _check(episodes: Sequence[Episode], contract: Contract, options: LeRobotOptions) -> None:
    faults = [
        f"{episode.path}: has no steps, LeRobot takes no empty episode" for episode in episodes if not episode.num_steps
    ]
    where = episodes[0].path
    if contract.rate_hz != round(contract.rate_hz):
        faults.append(f"{where}: control rate = {contract.rate_hz} Hz must be a whole number, LeRobot's fps is one")
    if options.images == "video":
        faults += [
            f"{where}: camera '{spec.name}' is {spec.height} x {spec.width}, MPEG-4 takes even sides only "
            "(--images png)"
            for spec in contract.images
            if spec.height % 2 or spec.width % 2
        ]
    if faults:
        raise EpisodeToolError("\n".join(faults))


def _features(contract: Contract, options: LeRobotOptions) -> dict[str, dict[str, Any]]:
    """info.json's description of each column."""

    def column(dtype: str, shape: tuple[int, ...] = (1,), names: list[str] | None = None) -> dict[str, Any]:
        return {"dtype": dtype, "shape": list(shape), "names": names}

    state = [
        name
        for part in contract.state
        for name in (part.joints if len(part.joints) == part.size else [f"{part.name}.{i}" for i in range(part.size)])
    ]
    if len(set(state)) != len(state):
        state = [f"{part.name}.{i}" for part in contract.state for i in range(part.size)]
    return {
        "action": column("float32", (contract.action.size,), list(contract.action.names)),
        "observation.state": column("float32", (len(state),), state),
        **{f"observation.images.{spec.name}": _image_feature(spec, contract, options) for spec in contract.images},
        "intervention": column("bool"),
        "label": column("int64"),
        "adapter_version": column("int64"),
        "stamp_ns": column("int64"),
        "next.reward": column("float32"),
        "next.done": column("bool"),
        "next.success": column("bool"),
        "timestamp": column("float32"),
        **{name: column("int64") for name in ("frame_index", "episode_index", "index", "task_index")},
    }


def _image_feature(spec: ImageSpec, contract: Contract, options: LeRobotOptions) -> dict[str, Any]:
    shape = {"shape": [spec.height, spec.width, 3], "names": ["height", "width", "channels"]}
    if options.images == "png":
        return {"dtype": "image", **shape}
    info = {
        "video.height": spec.height,
        "video.width": spec.width,
        "video.codec": "mpeg4",
        "video.pix_fmt": "yuv420p",
        "video.is_depth_map": False,
        "video.fps": round(contract.rate_hz),
        "video.channels": 3,
        "has_audio": False,
    }
    return {"dtype": "video", **shape, "info": info}


def _columns(
    episode: Episode, index: int, start: int, tasks: Mapping[str, int], rule: LabelRule
) -> dict[str, np.ndarray]:
    """The numbers of an episode, {feature: (T,) or (T, n)}."""
    steps = episode.num_steps
    frames = np.arange(steps)
    last = frames == steps - 1
    success = last & (episode.outcome.outcome == Outcome.SUCCESS)
    parts = [episode.state[part.name] for part in episode.contract.state] or [np.zeros((steps, 0), np.float32)]
    return {
        "action": shown_actions(episode).astype(np.float32),
        "observation.state": np.concatenate(parts, axis=1).astype(np.float32),
        "intervention": np.array([source == ControlSource.HUMAN for source in episode.sources], dtype=bool),
        "label": np.array([LABEL_CODES[label] for label in episode.labels(rule)], dtype=np.int64),
        "adapter_version": episode.adapter_versions.astype(np.int64),
        "stamp_ns": episode.stamps_ns["observation"].astype(np.int64),
        "next.reward": success.astype(np.float32),
        "next.done": last,
        "next.success": success,
        "timestamp": (frames / episode.contract.rate_hz).astype(np.float32),
        "frame_index": frames,
        "episode_index": np.full(steps, index),
        "index": frames + start,
        "task_index": np.full(steps, tasks[episode.info.instruction]),
    }


def _write_images(
    episode: Episode,
    keys: Mapping[str, ImageSpec],
    videos: Mapping[str, RollingVideo],
    seen: Mapping[str, PixelMoments],
) -> tuple[dict[str, list[bytes]], dict[str, VideoPlace]]:
    """Writes the frames into the videos, or returns them as PNG; and where in the videos they are."""
    pngs: dict[str, list[bytes]] = {} if videos else {key: [] for key in keys}
    for video in videos.values():
        video.begin()
    for _, frames in frame_blocks(episode):
        for key, spec in keys.items():
            for image in map(as_rgb, frames[spec.name]):
                seen[key].update(image)
                if videos:
                    videos[key].write(image)
                else:
                    pngs[key].append(encode_png(image))
    return pngs, {key: video.end() for key, video in videos.items()}


def _episode_row(
    episode: Episode,
    index: int,
    start: int,
    place: Mapping[str, int],
    places: Mapping[str, VideoPlace],
    stats: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """A row of meta/episodes."""
    row = {
        "episode_index": index,
        "tasks": [episode.info.instruction],
        "length": episode.num_steps,
        "episode_id": episode.info.episode_id,
        "outcome": str(episode.outcome.outcome),
        "operator": episode.info.operator,
        **place,
        "dataset_from_index": start,
        "dataset_to_index": start + episode.num_steps,
    }
    for key, video in places.items():
        row |= {f"videos/{key}/{name}": value for name, value in asdict(video).items()}
    for key, numbers in stats.items():
        row |= {f"stats/{key}/{name}": values for name, values in numbers.items()}
    return row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}


def _info(
    contract: Contract, features: Mapping[str, Any], episodes: int, frames: int, tasks: int, options: LeRobotOptions
) -> dict[str, Any]:
    return {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": options.robot_type or None,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": CHUNKS_SIZE,
        "data_files_size_in_mb": options.data_mb,
        "video_files_size_in_mb": options.video_mb,
        "fps": round(contract.rate_hz),
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if options.images == "video" and contract.images else None,
        "features": features,
    }
