"""Help by a learned score, and by entropy where an adapter has none."""

import math

import numpy as np
import pytest

from apo_core.contract.specs import ActionSpec
from apo_core.help.features import HelpFeatures
from apo_core.help.score import HelpScore, Weight
from apo_core.types import ActionChunk
from apo_policy_node.inference.help import CalibratedHelp

ACTION = ActionSpec(tuple("abcdefg"), ("m/s",) * 7, (-1.0,) * 7, (1.0,) * 7)
PERIOD_NS = 50_000_000
SCORE = HelpScore({"dwell_s": Weight(0.0, 1.0, 2.0)}, bias=-1.0, threshold=0.5)  # an alarm after 0.75 s


def chunk(tick: int, entropy: float = 1.0, version: int = 0) -> ActionChunk:
    rows = np.zeros((4, 7), np.float32)
    row = np.full(4, entropy, np.float32)
    return ActionChunk(tick * PERIOD_NS, PERIOD_NS, rows, -row, version, entropies=row)


STATE = {"ee_pose": np.array([0, 0, 1, 0, 0, 0, 1], np.float32)}


@pytest.fixture
def request_help() -> CalibratedHelp:
    """Adapter 0 has a score, the others help above an entropy of 2."""
    return CalibratedHelp(2.0, 1, 2, HelpFeatures(ACTION, 2), {0: SCORE}.get)


def test_help_is_wanted_while_the_score_is_above_its_threshold(request_help):
    found = [request_help.evaluate(chunk(tick), STATE, tick > 0) for tick in (0, 10, 16)]

    assert [each.score for each in found] == pytest.approx([-1.0, 0.0, 0.6])
    assert [each.help_wanted for each in found] == [False, False, True]
    assert found[-1].reason == "score 0.60, threshold 0.50"


def test_the_entropy_does_not_count_beside_a_score(request_help):
    assert not request_help.evaluate(chunk(0, entropy=9.0), STATE, False).help_wanted


def test_an_adapter_without_a_score_helps_by_entropy(request_help):
    low, high = (request_help.evaluate(chunk(0, entropy, version=3), STATE, False) for entropy in (1.0, 3.0))

    assert (low.help_wanted, high.help_wanted) == (False, True)
    assert math.isnan(high.score)
    assert high.reason == "3.00 nats"


def test_a_reset_forgets_what_was_before(request_help):
    request_help.evaluate(chunk(0), STATE, False)
    request_help.reset()
    assert request_help.evaluate(chunk(40), STATE, True).score == -1.0


def test_an_unknown_feature_wants_no_help(request_help):
    found = request_help.evaluate(chunk(0), {}, False)
    assert math.isnan(found.score)
    assert not found.help_wanted
