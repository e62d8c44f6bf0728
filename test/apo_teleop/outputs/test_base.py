"""Time between commands, and where a target may start."""

import dataclasses

import pytest

from apo_teleop.outputs.base import Elapsed, target_start_limit

MS = 1_000_000


def test_the_first_command_counts_as_a_period_and_a_pause_as_two():
    elapsed = Elapsed(0.05)
    assert elapsed.since_last(1000 * MS) == 0.05
    assert elapsed.since_last(1030 * MS) == pytest.approx(0.03)
    assert elapsed.since_last(9000 * MS) == pytest.approx(0.1)


def test_time_that_goes_back_takes_no_time():
    elapsed = Elapsed(0.05)
    elapsed.since_last(1000 * MS)
    assert elapsed.since_last(900 * MS) == 0.0


def test_after_a_restart_the_next_command_is_the_first():
    elapsed = Elapsed(0.05)
    elapsed.since_last(1000 * MS)
    elapsed.restart()
    assert elapsed.since_last(1001 * MS) == 0.05


def test_the_limit_of_a_start_names_rate_and_file(small_contract):
    contract = dataclasses.replace(small_contract, rate_hz=20.0)
    limit = target_start_limit(contract)
    assert limit == f"a target begins at one of at most 0.1 s, 2 periods of rate_hz in {contract.source}"
