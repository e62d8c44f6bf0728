"""One recording cut into several episodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from apo_core.errors import EpisodeToolError
from apo_core.types import EpisodeOutcome, Observation, Outcome, Step
from apo_episodes.episode import Episode
from apo_episodes.files import frame_blocks, new_folder
from apo_episodes.writer import EpisodeWriter

_CUT = EpisodeOutcome(Outcome.UNLABELED, "cut", terminated=False, truncated=True)


def cut_episode(episode: Episode, at: Sequence[int], target: Path) -> list[Path]:
    """Writes the parts of an episode as `<episode_id>-part<n>.h5` into a new folder; the episode stays as it is.

    The last part keeps the outcome, the others are UNLABELED: what became of the task was seen at the end only. Labels
    of a part are derived from its own steps, so a window before a takeover does not reach over a cut.

    Args:
        episode: to be cut.
        at: steps at which a new part begins, ascending, 1..T-1.
        target: folder to be made.

    Raises:
        EpisodeToolError: steps outside the episode or not ascending, or a target that exists.
    """
    bounds = [0, *at, episode.num_steps]
    if not at or any(start >= end for start, end in pairwise(bounds)):
        raise EpisodeToolError(
            f"{episode.path}: cannot be cut at {' '.join(map(str, at)) or 'no step'}; steps must ascend and lie within "
            f"1..{episode.num_steps - 1} (--at)"
        )
    # lossy frames are not compressed with loss a second time
    compression = episode.image_compression if episode.image_compression in ("gzip", "none") else "zstd"
    written = []
    with new_folder(target) as folder:
        steps = iterate_steps(episode)
        for number, (start, end) in enumerate(pairwise(bounds), 1):
            tags = {**episode.info.tags, "cut_from": episode.info.episode_id, "cut_steps": f"{start}:{end}"}
            info = replace(
                episode.info,
                episode_id=f"{episode.info.episode_id}-part{number}",
                tags=tags,
                pre_roll_steps=min(max(episode.info.pre_roll_steps - start, 0), end - start),
            )
            writer = EpisodeWriter(folder, info, episode.contract, compression)
            try:
                for _ in range(start, end):
                    writer.append(next(steps))
                gaps = int(episode.ticks[end - 1] - episode.ticks[start] + 1 - (end - start))
                cameras = len(episode.contract.images)
                losses = {
                    "frames_recorded": (end - start) * cameras,
                    "commands_lost": gaps,
                    "frames_lost": gaps * cameras,
                }
                path = writer.finish(episode.outcome if end == episode.num_steps else _CUT, losses)
            except BaseException:
                writer.discard()
                raise
            written.append(Path(target) / path.name)
        (folder / ".partial").rmdir()
    return written


def iterate_steps(episode: Episode) -> Iterator[Step]:
    """The steps as they were recorded, with their images.

    Raises:
        EpisodeFormatError: unreadable images.
    """
    stamps = episode.stamps_ns

    def action(values: np.ndarray) -> np.ndarray | None:
        return None if np.isnan(values).all() else values

    tokens, remaining = episode.policy_tokens, episode.task_remaining

    for start, frames in frame_blocks(episode):
        for row in range(len(next(iter(frames.values()))) if frames else episode.num_steps):
            index = start + row
            observation = Observation(
                stamp_ns=int(stamps["observation"][index]),
                images={name: values[row] for name, values in frames.items()},
                state={name: values[index] for name, values in episode.state.items()},
                instruction=episode.info.instruction,
                header_stamps_ns={name: int(values[index]) for name, values in episode.header_stamps_ns.items()},
                receive_ns={name: int(values[index]) for name, values in episode.stream_receive_ns.items()},
            )
            yield Step(
                tick=int(episode.ticks[index]),
                observation=observation,
                executed_action=episode.executed_actions[index],
                policy_action=action(episode.policy_actions[index]),
                human_action=action(episode.human_actions[index]),
                source=episode.sources[index],
                reason=episode.reasons[index],
                adapter_version=int(episode.adapter_versions[index]),
                command_stamp_ns=int(stamps["command"][index]),
                chunk_stamp_ns=int(stamps["chunk"][index]),
                receive_ns=int(stamps["receive"][index]),
                clipped=episode.clipped[index] if episode.clipped else "",
                policy_tokens=None if tokens is None else tokens[index],
                task_remaining=None if remaining is None else float(remaining[index]),
                task_stages=episode.stages_at(index),
            )
