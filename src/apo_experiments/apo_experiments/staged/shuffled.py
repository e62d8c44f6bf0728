"""Episodes with shuffled labels: an adapter that is trained on them learns nothing of the task."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from apo_core.types import Step
from apo_episodes.curate.cut import iterate_steps
from apo_episodes.episode import Episode
from apo_episodes.files import new_folder
from apo_episodes.reader import list_episodes, read_episode
from apo_episodes.writer import EpisodeWriter


def shuffle_labels(source: Path, target: Path, seed: int) -> None:
    """Copies the episodes of a folder into a new one, the actions of each at other steps.

    The operator's actions of an episode change places among the steps that the operator drove, the policy's among its
    own. Images, states and who drove stay.

    Args:
        source: folder of episode files.
        target: folder to be made; where it is there, nothing is done.
        seed: of the permutations.

    Raises:
        EpisodeFormatError: an episode that cannot be read.
        OSError: the folder cannot be written.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(target) as folder:
        for path in list_episodes(source):
            _copy(read_episode(path, images=False), folder, seed)
        (folder / ".partial").rmdir()


def _copy(episode: Episode, folder: Path, seed: int) -> None:
    order = permutation(episode.sources, np.random.default_rng([seed, zlib.crc32(episode.info.episode_id.encode())]))
    info = replace(episode.info, tags={**episode.info.tags, "labels": "shuffled"})
    writer = EpisodeWriter(folder, info, episode.contract, "jpeg" if episode.image_compression == "jpeg" else "zstd")
    try:
        for index, step in enumerate(iterate_steps(episode)):
            writer.append(_with_action(step, episode, int(order[index])))
        writer.finish(episode.outcome, episode.losses)
    except BaseException:
        writer.discard()
        raise


def permutation(sources: Iterable[str], rng: np.random.Generator) -> np.ndarray:
    """Indices (T,) that let the steps of each source change places among themselves."""
    names = np.array([str(source) for source in sources])
    order = np.arange(len(names))
    for name in sorted(set(names.tolist())):
        places = np.flatnonzero(names == name)
        order[places] = rng.permutation(places)
    return order


def _with_action(step: Step, episode: Episode, index: int) -> Step:
    """A step with the actions of another one."""

    def action(values: np.ndarray) -> np.ndarray | None:
        return None if np.isnan(values).all() else values

    return replace(
        step,
        executed_action=episode.executed_actions[index],
        policy_action=action(episode.policy_actions[index]),
        human_action=action(episode.human_actions[index]),
        policy_tokens=None if episode.policy_tokens is None else episode.policy_tokens[index],
        clipped=episode.clipped[index] if episode.clipped else "",
    )
