"""Invariants of what the stack has written: every published file is valid, every recorded step is what happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from apo_bringup.chaos.events import Command, RobotTwist
from apo_bringup.chaos.garbage import FOREIGN
from apo_bringup.chaos.hostile_files import EPISODE_PREFIX
from apo_bringup.chaos.invariants import Violation
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError, EpisodeFormatError
from apo_episodes.episode import Episode
from apo_episodes.inspection.validate import validate
from apo_episodes.reader import read_episode

VALID, SOURCE = "valid_files", "recorded_source"
_TOLERANCE = 1e-5
_SHOWN = 3  # steps of a file that are named


class Observed:
    """What the witness has seen of commands and of the arm's input, for comparison with the files."""

    def __init__(self) -> None:
        self._commands: dict[tuple[int, int], Command] = {}  # tick and stamp -> command
        self._twists: dict[int, list[tuple[float, ...]]] = {}  # stamp of the observation -> what the arm received

    def on_event(self, event: Command | RobotTwist) -> None:
        """Takes a command or what the arm received."""
        if isinstance(event, Command):
            self._commands[event.tick, event.stamp] = event
        else:
            self._twists.setdefault(event.observation, []).append(event.twist)

    def faults(self, episode: Episode, seen: Counter[str]) -> Iterator[str]:
        """How the recorded steps differ from what was seen; counts the steps `compared` and `unseen`."""
        for step, (tick, stamp) in enumerate(zip(episode.ticks, episode.stamps_ns["command"], strict=True)):
            if episode.reasons[step] == FOREIGN:
                yield f"step {step} was sent by a fault, not by the arbiter"
                continue
            command = self._commands.get((int(tick), int(stamp)))
            if command is None:
                seen["unseen"] += 1
                continue
            seen["compared"] += 1
            source, executed = str(episode.sources[step]), episode.executed_actions[step]
            if source != command.source:
                yield f"step {step} is {source}, the command of tick {tick} was {command.source}"
            elif not np.allclose(executed, command.values, atol=_TOLERANCE):
                yield f"step {step} executed {executed.tolist()}, the command of tick {tick} was {command.values}"
            twists = self._twists.get(command.observation, [])
            if twists and not any(np.allclose(executed[:6], twist, atol=_TOLERANCE) for twist in twists):
                yield f"step {step} executed {executed[:6].tolist()}, the arm received {twists}"


def check_episode(path: Path, observed: Observed, seen: Counter[str], t: int) -> Iterator[Violation]:
    """Checks one published file; a file that a fault has put there is skipped."""
    if path.name.startswith(EPISODE_PREFIX):
        return
    seen["episodes"] += 1
    result = validate(path)
    for text in result.faults:
        yield Violation(t, VALID, f"{path.name}: {text}")
    try:
        episode = read_episode(path, images=False)
    except EpisodeFormatError:
        return
    faults = list(observed.faults(episode, seen))
    for text in faults[:_SHOWN]:
        yield Violation(t, SOURCE, f"{path.name}: {text}")
    if len(faults) > _SHOWN:
        yield Violation(t, SOURCE, f"{path.name}: {len(faults) - _SHOWN} more steps")


def check_store(store_dir: Path, seen: Counter[str], t: int) -> Iterator[Violation]:
    """Checks every adapter in the store, once what faults have put there is removed."""
    store = AdapterStore(store_dir)
    for number in store.versions():
        seen["adapters"] += 1
        try:
            _, tensors = store.read(number)
        except AdapterError as error:
            yield Violation(t, VALID, str(error))
            continue
        if not all(np.isfinite(value).all() for value in tensors.values()):
            yield Violation(t, VALID, f"adapter {number} has values that are not finite")
