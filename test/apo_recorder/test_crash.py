"""A recorder killed at any moment leaves whole episodes and a journal of all but the last second."""

import multiprocessing
import os
import random
import signal
import time

import numpy as np
import pytest
from recording_program import STEPS_PER_S, record

from apo_core.errors import EpisodeFormatError
from apo_episodes.reader import list_episodes, read_episode, verify_checksums
from apo_episodes.recovery import list_partial, recover_episode

KILLS, STEPS_PER_EPISODE, EPISODES = 50, 25, 8
WAIT_S = 30.0


def killed_after(steps: int, spin_s: float, *arguments) -> int:
    """Kills a recorder that has handed over so many steps; returns the last one it reported."""
    # from a process without threads: a fork of this one would inherit the locks that its other threads hold
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["apo_recorder.writer_thread"])  # imported once, not with each kill
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=record, args=(*arguments, send))
    process.start()
    send.close()
    tick = 0
    while tick < steps:
        assert receive.poll(WAIT_S), f"no step after {tick} within {WAIT_S} s"
        try:
            tick = receive.recv()
        except EOFError:
            process.join(WAIT_S)
            pytest.fail(f"the recorder ended by itself with status {process.exitcode} after step {tick}")
    until = time.perf_counter() + spin_s
    while time.perf_counter() < until:  # not always in the same line of the recorder
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join(WAIT_S)
    try:
        while receive.poll(0):
            tick = receive.recv()
    except EOFError:
        pass
    return tick


def test_kill_at_random_moments(tmp_path, small_contract, make_info, make_step):
    rng = random.Random(7)
    steps_made = [make_step(tick) for tick in range(1, STEPS_PER_EPISODE * EPISODES + 1)]
    infos = [make_info(f"e{index:03d}") for index in range(EPISODES)]
    recovered = published = 0
    for kill in range(KILLS):
        directory = tmp_path / str(kill)
        steps = rng.randint(1, 3 * STEPS_PER_EPISODE)
        reported = killed_after(steps, rng.uniform(0, 0.01), directory, small_contract, infos, steps_made)
        whole = list_episodes(directory)
        published += len(whole)
        for journal in list_partial(directory):
            try:
                whole.append(recover_episode(journal))
                recovered += 1
            except EpisodeFormatError as error:
                # killed before the first step was in it
                assert "no whole step" in str(error) or "first record" in str(error) or "not a journal" in str(error)
        ticks = []
        for path in sorted(set(whole)):
            episode = read_episode(path)
            assert verify_checksums(path) == []
            step = steps_made[int(episode.ticks[-1]) - 1]
            np.testing.assert_array_equal(episode.images["front"][-1], step.observation.images["front"])
            ticks += episode.ticks.tolist()
        assert ticks == list(range(1, len(ticks) + 1))
        assert len(ticks) >= reported - STEPS_PER_S
    assert recovered and published
