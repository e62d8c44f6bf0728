"""One command a step from chunks."""

import numpy as np
import pytest

from apo_experiments.chunk_driver import ChunkDriver, still


def driver(rows=4, hold_steps=2):
    """Its commands name the observation and the row: vx = observation, vy = row."""
    return ChunkDriver(
        lambda seen: np.array([[seen, row, 0, 0, 0, 0, 1.0] for row in range(rows)], np.float32), hold_steps
    )


def named(command):
    return command[:2].astype(int).tolist()


def test_a_chunk_is_executed_whole_before_the_next():
    one = driver()
    assert [named(one.command(step, step)) for step in range(6)] == [[0, 0], [0, 1], [0, 2], [0, 3], [4, 0], [4, 1]]
    assert not one.predicts_at(7) and one.predicts_at(8)


def test_rows_follow_the_time_of_the_observations():
    one = driver()
    assert [named(one.command(step, step)) for step in (0, 2, 3, 6)] == [[0, 0], [0, 2], [0, 3], [6, 0]]


def test_without_observation_the_arm_goes_on_and_then_stands_still():
    one = driver()
    one.command(0, 0)
    assert named(one.command(1, 1)) == [0, 1]
    assert [named(one.command_without_observation()) for _ in range(2)] == [[0, 1], [0, 1]]
    stopped = one.command_without_observation()
    assert stopped.tolist() == [0, 0, 0, 0, 0, 0, 1.0]  # the fingers keep what they hold
    assert named(one.command(5, 5)) == [5, 0]
    assert named(one.command_without_observation()) == [5, 0]


def test_before_any_observation_the_arm_stands_still_and_is_open():
    assert driver().command_without_observation().tolist() == still().tolist() == [0, 0, 0, 0, 0, 0, -1.0]


@pytest.mark.parametrize("step", [0, 3, 17])
def test_the_first_observation_leads_to_a_prediction(step):
    assert driver().predicts_at(step)
    assert named(driver().command(step, 9)) == [9, 0]
