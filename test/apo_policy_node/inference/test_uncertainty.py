"""How uncertain the policy is, and when it requests help."""

import math

import numpy as np
import pytest

from apo_core.types import ActionChunk
from apo_policy_node.inference.uncertainty import HelpRequest


def chunk(*entropies: float) -> ActionChunk:
    rows = len(entropies) or 3
    return ActionChunk(
        observation_stamp_ns=5,
        period_ns=50_000_000,
        values=np.zeros((rows, 7), np.float32),
        log_probs=-np.arange(1.0, rows + 1, dtype=np.float32),
        adapter_version=4,
        entropies=np.array(entropies, np.float32) if entropies else None,
    )


def test_uncertainty_is_the_mean_of_the_executed_rows():
    found = HelpRequest(0.0, 1, rows=2).evaluate(chunk(1.0, 2.0, 30.0))

    assert (found.entropy, found.log_prob) == (pytest.approx(1.5), pytest.approx(-1.5))
    assert (found.observation_stamp_ns, found.adapter_version, found.help_wanted) == (5, 4, False)


def test_help_is_wanted_after_enough_uncertain_chunks_in_a_row():
    help_request = HelpRequest(2.0, 3, rows=1)

    wanted = [help_request.evaluate(chunk(entropy)).help_wanted for entropy in (3, 3, 1, 3, 3, 3, 3, 2, 3)]
    assert wanted == [False, False, False, False, False, True, True, False, False]


def test_a_reset_ends_the_request():
    help_request = HelpRequest(2.0, 2, rows=1)
    help_request.evaluate(chunk(3))
    help_request.reset()

    assert not help_request.evaluate(chunk(3)).help_wanted


def test_threshold_0_never_requests_help():
    assert not HelpRequest(0.0, 1, rows=1).evaluate(chunk(100)).help_wanted


def test_a_policy_without_entropy_requests_no_help():
    found = HelpRequest(1.0, 1, rows=1).evaluate(chunk())

    assert math.isnan(found.entropy)
    assert not found.help_wanted
