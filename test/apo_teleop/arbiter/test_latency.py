"""Percentiles of the takeover latency."""

import math

from apo_teleop.arbiter.latency import LatencyStatistics


def test_nothing_measured_is_nan():
    assert math.isnan(LatencyStatistics().percentile_ms(50))


def test_percentiles_of_the_newest_samples_in_milliseconds():
    statistics = LatencyStatistics(capacity=3)
    for latency_ns in (900_000_000, 1_000_000, 2_000_000, 4_000_000):
        statistics.add(latency_ns)
    assert statistics.percentile_ms(50) == 2.0
    assert statistics.percentile_ms(100) == 4.0


def test_clocks_that_disagree_give_no_negative_latency():
    statistics = LatencyStatistics()
    statistics.add(-5)
    assert statistics.percentile_ms(50) == 0.0
