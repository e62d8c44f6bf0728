"""Episodes as rosbag2 bags in MCAP storage: the topics of the contract and the executed commands, at their stamps.

Format: https://github.com/ros2/rosbag2/tree/rolling/rosbag2_storage_mcap. Needs rosbags (requirements/export.in).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apo_core.errors import EpisodeToolError
from apo_episodes.episode import Episode
from apo_episodes.files import extra_module, frame_blocks, new_folder, unique_ids
from apo_episodes.formats.mcap.bag_messages import MessageMaker

COMMAND_TOPIC = "command"


def export_mcap(episodes: Sequence[Episode], target: Path, command_definition: Path | None = None) -> list[Path]:
    """Writes each episode as `<target>/<episode_id>/{metadata.yaml, <episode_id>.mcap}`; returns the bags.

    Play one with `ros2 bag play <target>/<episode_id>`. Bag time is the stamp of each message.

    Args:
        episodes: with ids that differ; their contracts may.
        target: folder to be made.
        command_definition: ActionCommand.msg; found in the sourced workspace if None.

    Raises:
        EpisodeToolError: rosbags or the message definition is missing, an empty episode, a state type without a message
            here, or a target that exists.
    """
    rosbag2 = extra_module("rosbags.rosbag2", "rosbags", "export")
    unique_ids(episodes)
    faults = [f"{e.path}: has no steps, a bag needs one" for e in episodes if not e.num_steps]
    if faults:
        raise EpisodeToolError("\n".join(faults))
    maker = MessageMaker(command_definition or find_definition())
    with new_folder(target) as folder:
        for episode in episodes:
            path = folder / episode.info.episode_id
            writer = rosbag2.Writer(path, version=9, storage_plugin=rosbag2.StoragePlugin.MCAP)
            # MCAP's own chunks, which every player unpacks
            writer.set_compression(rosbag2.CompressionMode.STORAGE, rosbag2.CompressionFormat.ZSTD)
            with writer as bag:
                bag.set_custom_data("episode_id", episode.info.episode_id)
                bag.set_custom_data("outcome", str(episode.outcome.outcome))
                bag.set_custom_data("instruction", episode.info.instruction)
                bag.set_custom_data("contract", episode.info.contract_json)
                _Bag(bag, maker).write(episode)
    return [Path(target) / episode.info.episode_id for episode in episodes]


def find_definition() -> Path:
    """ActionCommand.msg of the sourced workspace, or of the source tree this file lies in.

    Raises:
        EpisodeToolError: in neither.
    """
    name = Path("apo_interfaces/msg/ActionCommand.msg")
    prefixes = filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    places = [Path(prefix) / "share" / name for prefix in prefixes]
    places += [parent / name for parent in Path(__file__).resolve().parents]
    for place in places:
        if place.is_file():
            return place
    raise EpisodeToolError(
        "ActionCommand.msg, the type of the commands in a bag, is not found: source the workspace "
        "(source scripts/env.sh), or name the file with --command-definition"
    )


class _Bag:
    """Writes into an open bag; a topic is announced with its first message."""

    def __init__(self, bag: Any, maker: MessageMaker):
        self._bag, self._maker = bag, maker
        self._connections: dict[tuple[str, str], Any] = {}
        self._newest: dict[str, int] = {}  # topic -> stamp, so that a sample used twice is written once

    def write(self, episode: Episode) -> None:
        """Observations at their stamps, commands at theirs."""
        contract, stamps = episode.contract, episode.stamps_ns
        for start, frames in frame_blocks(episode):
            for row in range(len(next(iter(frames.values())))) if frames else range(episode.num_steps):
                index = start + row
                own = _sample_stamps(episode, index)
                for spec in contract.images:
                    image = self._maker.image(spec, frames[spec.name][row], own[spec.name])
                    self._sample(spec.topic, own[spec.name], image)
                state = {name: values[index] for name, values in episode.state.items()}
                for stamp_ns, topic, message in self._maker.states(contract, state, own):
                    self._sample(topic, stamp_ns, message)
                self._put(COMMAND_TOPIC, int(stamps["command"][index]), self._maker.command(episode, index))

    def _sample(self, topic: str, stamp_ns: int, message: Any) -> None:
        key = f"{topic} {message.__msgtype__} {getattr(message, 'name', '')}"
        if self._newest.get(key) != stamp_ns:
            self._newest[key] = stamp_ns
            self._put(topic, stamp_ns, message)

    def _put(self, topic: str, stamp_ns: int, message: Any) -> None:
        kind = message.__msgtype__
        store = self._maker.store
        if (topic, kind) not in self._connections:
            # rosbag2 stores names as the graph shows them
            self._connections[topic, kind] = self._bag.add_connection("/" + topic.lstrip("/"), kind, typestore=store)
        self._bag.write(self._connections[topic, kind], stamp_ns, store.serialize_cdr(message, kind))


def _sample_stamps(episode: Episode, index: int) -> dict[str, int]:
    """{camera or state key: header stamp}; the observation's where the file does not have it."""
    fallback = int(episode.stamps_ns["observation"][index])
    names = (*episode.contract.image_names, *episode.contract.state_names)
    known = episode.header_stamps_ns
    return {name: (int(known[name][index]) if name in known else 0) or fallback for name in names}
