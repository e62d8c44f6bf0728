"""A recorder that records without an end; a process of its own that a test kills."""

import os
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from apo_core.contract.contract import Contract
from apo_core.types import EpisodeInfo, EpisodeOutcome, Outcome, Step
from apo_recorder.episode_state import DropCounts, EpisodeEnd
from apo_recorder.writer_thread import EpisodeWriterThread

STEPS_PER_S = 10
_END = EpisodeEnd(EpisodeOutcome(Outcome.SUCCESS, "over", True, False), "over", 0, DropCounts())


def record(
    directory: Path, contract: Contract, infos: Sequence[EpisodeInfo], steps: Sequence[Step], reported: Connection
) -> None:
    """Records the episodes one after the other and reports the tick of each step that was handed over.

    Args:
        directory: where episodes go.
        contract: of the steps.
        infos: of the episodes, which have equally many steps.
        steps: of all episodes, in order.
        reported: where ticks go; at the end the process waits to be killed.
    """
    writer = EpisodeWriterThread(directory, contract, "zstd", 1000)
    of_an_episode = len(steps) // len(infos)
    for index, step in enumerate(steps):
        if index % of_an_episode == 0:
            if index:
                writer.end(_END)
            writer.begin(infos[index // of_an_episode])
        writer.append(step)
        reported.send(step.tick)
        # a disk that keeps up with the robot: a second of steps at most is not written, one of which is in work
        while writer.waiting_steps >= STEPS_PER_S - 1:
            os.sched_yield()
    signal.pause()
