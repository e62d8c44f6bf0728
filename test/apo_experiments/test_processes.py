"""Jobs in worker processes."""

import math

import pytest

from apo_experiments.processes import results_of


def test_results_come_in_the_order_of_the_jobs():
    with results_of(abs, [-3, 2, -1], workers=2) as found:
        assert list(found) == [3, 2, 1]


def test_what_a_job_raises_is_raised_where_its_result_is_taken():
    with results_of(math.sqrt, [4.0, -1.0], workers=1) as found:
        assert next(found) == 2.0
        with pytest.raises(ValueError, match="math domain error"):
            next(found)
