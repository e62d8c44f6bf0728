"""Chunks one after the other: replaced, averaged, or begun with what runs meanwhile; never of two adapters."""

import dataclasses

import numpy as np
import pytest

from apo_core.types import ActionChunk
from apo_policy_node.inference.chunking import Ensemble, RealTime, Replace, make_chunking

PERIOD_NS = 50_000_000
START_NS = 7_000_000_000
MAX_AGE_NS = 500_000_000


def chunk(tick: int, values, version: int = 1) -> ActionChunk:
    """A chunk predicted at a tick; one action number a row."""
    rows = np.array(values, np.float32)[:, None]
    log_probs = np.full(len(rows), -float(tick), np.float32)
    return ActionChunk(START_NS + tick * PERIOD_NS, PERIOD_NS, rows, log_probs, version)


def numbers(found: ActionChunk) -> list[float]:
    return pytest.approx(found.values[:, 0].tolist(), abs=1e-6)


def test_a_chunk_replaces_the_one_before():
    replace = Replace()
    replace.join(chunk(0, [1, 2, 3]))
    assert replace.join(chunk(1, [5, 6, 7])).values[:, 0].tolist() == [5, 6, 7]
    assert replace.committed(START_NS, 0.2, 1) is None


def test_an_ensemble_averages_what_was_predicted_for_a_moment():
    ensemble = Ensemble(0.0, MAX_AGE_NS)
    assert numbers(ensemble.join(chunk(0, [1, 2, 3]))) == [1, 2, 3]
    # moments 1, 2 were predicted twice, moment 3 once
    assert numbers(ensemble.join(chunk(1, [6, 7, 8]))) == [(2 + 6) / 2, (3 + 7) / 2, 8]
    # moment 2 three times: 3, 7, 11
    assert numbers(ensemble.join(chunk(2, [11, 12, 13]))) == [7, 10, 13]


def test_the_oldest_prediction_counts_most_with_decay():
    # weights 1 and exp(-ln 3) = 1/3: (1 * 4 + 1/3 * 8) / (4/3) = 5
    ensemble = Ensemble(float(np.log(3)), MAX_AGE_NS)
    ensemble.join(chunk(0, [0, 4]))
    assert numbers(ensemble.join(chunk(1, [8, 1]))) == [5, 1]


def test_an_average_has_stamp_and_log_probs_of_the_newest_chunk():
    ensemble = Ensemble(0.0, MAX_AGE_NS)
    ensemble.join(chunk(0, [0, 4]))
    joined = ensemble.join(chunk(1, [8, 1]))
    assert joined.observation_stamp_ns == START_NS + PERIOD_NS
    assert joined.log_probs.tolist() == [-1.0, -1.0]
    assert joined.values.dtype == np.float32


def test_an_ensemble_leaves_out_what_would_be_too_old_at_its_moment():
    ensemble = Ensemble(0.0, max_age_ns=2 * PERIOD_NS)
    ensemble.join(chunk(0, [0, 0, 0, 0, 0]))
    # at its own moment, row 1 of the new chunk is 3 periods after the first observation
    assert numbers(ensemble.join(chunk(2, [4, 4, 4]))) == [2, 4, 4]


@pytest.mark.parametrize("reset", [lambda e: e.reset(), None])
def test_an_ensemble_never_averages_two_adapters_or_over_a_reset(reset):
    ensemble = Ensemble(0.0, MAX_AGE_NS)
    ensemble.join(chunk(0, [0, 0, 0], version=1))
    version = 1 if reset else 2
    if reset:
        reset(ensemble)
    assert numbers(ensemble.join(chunk(1, [4, 4, 4], version=version))) == [4, 4, 4]


def test_real_time_commits_the_rows_that_run_during_the_inference():
    real_time = RealTime(max_rows=3, max_age_ns=MAX_AGE_NS)
    assert real_time.committed(START_NS, 0.2, 1) is None
    real_time.join(chunk(0, [1, 2, 3, 4, 5]))

    # the observation of tick 2 is executed on row 2; an inference of 70 ms covers two periods
    assert real_time.committed(START_NS + 2 * PERIOD_NS, 0.07, 1)[:, 0].tolist() == [3, 4]
    assert real_time.committed(START_NS + 2 * PERIOD_NS, 0.05, 1)[:, 0].tolist() == [3]
    assert real_time.committed(START_NS + 2 * PERIOD_NS, 1.0, 1)[:, 0].tolist() == [3, 4, 5]
    assert real_time.committed(START_NS + 4 * PERIOD_NS, 1.0, 1)[:, 0].tolist() == [5]
    assert real_time.committed(START_NS + 5 * PERIOD_NS, 1.0, 1) is None
    assert real_time.committed(START_NS + 2 * PERIOD_NS, 0.0, 1) is None


def test_realtime_commits_nothing_across_adapters_or_resets():
    real_time = RealTime(max_rows=3, max_age_ns=MAX_AGE_NS)
    real_time.join(chunk(0, [1, 2, 3]))
    assert real_time.committed(START_NS + PERIOD_NS, 0.1, 2) is None
    real_time.reset()
    assert real_time.committed(START_NS + PERIOD_NS, 0.1, 1) is None


def test_a_committed_row_keeps_the_age_of_its_observation():
    real_time = RealTime(max_rows=3, max_age_ns=3 * PERIOD_NS)
    real_time.join(chunk(0, [1, 2, 3, 4]))
    first = real_time.committed(START_NS + PERIOD_NS, 1.0, 1)
    assert first[:, 0].tolist() == [2, 3, 4]
    real_time.join(chunk(1, [2, 3, 4, 9, 9]))
    # moment 3 still stems from tick 0, 3 periods before; moment 4 from tick 1
    assert real_time.committed(START_NS + 3 * PERIOD_NS, 1.0, 1)[:, 0].tolist() == [4, 9]
    short = RealTime(max_rows=3, max_age_ns=2 * PERIOD_NS)
    short.join(chunk(0, [1, 2, 3, 4]))
    assert short.committed(START_NS + 2 * PERIOD_NS, 1.0, 1)[:, 0].tolist() == [3]


def test_chunkings_by_name():
    made = [make_chunking(name, 0.01, 2, MAX_AGE_NS) for name in ("replace", "ensemble", "realtime")]
    assert [type(each) for each in made] == [Replace, Ensemble, RealTime]


@pytest.mark.parametrize(("name", "kept"), [("replace", True), ("realtime", True), ("ensemble", False)])
def test_only_an_average_has_no_tokens(name, kept):
    chunking = make_chunking(name, 0.0, 1, MAX_AGE_NS)
    for tick in range(2):
        emitted = dataclasses.replace(chunk(tick, [1, 2, 3]), tokens=np.arange(3))
        assert (chunking.join(emitted).tokens is not None) == kept
