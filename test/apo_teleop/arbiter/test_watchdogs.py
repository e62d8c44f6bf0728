"""Reports of the watchdogs on inputs at the limits of their age, and of rows to show."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from apo_core.contract.contract import load_contract
from apo_core.contract.frames import frame_fault
from apo_core.contract.specs import FeedbackSpec
from apo_core.types import ActionChunk
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.types import ArbiterInputs, FeedbackInput, PolicyInput, PoseInput, Reason
from apo_teleop.arbiter.watchdogs import Watchdogs
from apo_teleop.outputs.config import OutputConfig

CONTRACT = load_contract(Path(__file__).parents[3] / "config" / "contract.yaml")
MS = 1_000_000
NOW = 100_000 * MS
ROWS = np.arange(28, dtype=np.float32).reshape(4, 7)
ADAPTERS = frozenset({3})


@pytest.fixture
def watchdogs():
    return Watchdogs(ArbiterConfig(future_tolerance_s=0.1, policy_silent_s=0.2), CONTRACT)


def newest(stamp=NOW, receive=NOW, rows=ROWS, version=3, tokens=None):
    chunk = ActionChunk(stamp, 50 * MS, rows, np.zeros(len(rows), np.float32), version, tokens)
    return PolicyInput(chunk, "", receive)


@pytest.mark.parametrize(
    ("stamp", "receive", "condition"),
    [
        (NOW, NOW, None),
        (NOW - 500 * MS, NOW - 500 * MS, None),
        (NOW + 100 * MS, NOW, None),
        (NOW - 501 * MS, NOW, Reason.OBSERVATION_STALE),
        (NOW, NOW - 501 * MS, Reason.OBSERVATION_STALE),
        (NOW + 101 * MS, NOW, Reason.OBSERVATION_FUTURE),
    ],
)
def test_the_age_of_an_observation_counts_by_stamp_and_by_arrival(watchdogs, stamp, receive, condition):
    assert list(watchdogs.pose(NOW, NOW, PoseInput(stamp, receive, (0.0, 0.0, 1.0)))) == [condition] * bool(condition)


def test_details_name_value_and_limit(watchdogs):
    found = watchdogs.pose(NOW, NOW, PoseInput(NOW - 700 * MS, NOW, (0.0, 0.0, 1.0)))
    assert found == {Reason.OBSERVATION_STALE: "0.700 s old"}
    found = watchdogs.policy(NOW, ArbiterInputs(NOW, newest(receive=NOW - 300 * MS), adapters=ADAPTERS), 0)
    assert found == {Reason.POLICY_SILENT: "0.300 s silent"}


def test_feedback_is_judged_only_where_the_contract_names_it(watchdogs):
    assert watchdogs.feedback(NOW, NOW, None) == {}
    assert watchdogs.feedback(NOW, NOW, FeedbackInput(0, 0, (0.0,))) == {}


def test_several_faults_of_one_chunk_are_all_found(watchdogs):
    rows = np.full((2, 7), np.nan, np.float32)
    inputs = ArbiterInputs(NOW, newest(NOW - 600 * MS, rows=rows, version=5), adapters=ADAPTERS, late=("policy",))
    assert set(watchdogs.policy(NOW, inputs, NOW)) == {
        Reason.POLICY_LATE,
        Reason.ADAPTER_UNKNOWN,
        Reason.CHUNK_NON_FINITE,
        Reason.AWAITING_FRESH_CHUNK,
        Reason.CHUNK_STALE,
        Reason.CHUNK_EXHAUSTED,
    }


def test_the_row_of_a_tick_is_the_nearest(watchdogs):
    chunk = newest(NOW)
    first = [watchdogs.policy_row(NOW + age * MS, chunk, ADAPTERS).values[0] for age in (-90, 0, 24, 26, 76, 174)]
    assert first == [0, 0, 0, 7, 14, 21]
    assert watchdogs.policy_row(NOW + 176 * MS, chunk, ADAPTERS) is None


def test_a_row_has_its_own_tokens(watchdogs):
    chunk = newest(NOW, tokens=np.arange(100, 128))
    for age, first in ((-90, 100), (24, 100), (26, 107), (174, 121)):
        row = watchdogs.policy_row(NOW + age * MS, chunk, ADAPTERS)
        assert row.tokens.tolist() == list(range(first, first + 7))


@pytest.mark.parametrize("tokens", [None, np.arange(27), np.arange(29), np.zeros(28), np.full(28, -1)])
def test_a_row_without_sound_tokens_is_the_same_row(watchdogs, tokens):
    row = watchdogs.policy_row(NOW + 50 * MS, newest(tokens=tokens), ADAPTERS)
    assert row.tokens is None and row.values.tolist() == ROWS[1].tolist()


def test_a_finite_row_of_a_chunk_that_is_not_finite_may_be_shown(watchdogs):
    rows = ROWS.copy()
    rows[1, 2] = np.nan
    assert watchdogs.policy_row(NOW, newest(rows=rows), ADAPTERS) is not None
    assert watchdogs.policy_row(NOW + 50 * MS, newest(rows=rows), ADAPTERS) is None


@pytest.mark.parametrize(
    "policy",
    [None, PolicyInput(None, "dark", NOW), newest(version=4), newest(rows=ROWS[:, :6]), newest(NOW - 501 * MS)],
    ids=["nothing", "fault", "unknown adapter", "misshapen", "old"],
)
def test_there_is_no_row_of_what_cannot_be_trusted(watchdogs, policy):
    assert watchdogs.policy_row(NOW, policy, ADAPTERS) is None


@pytest.mark.parametrize("frame_id", ["", "base"])
def test_the_contracts_frame_or_none_at_all_is_no_fault(watchdogs, frame_id):
    assert watchdogs.pose(NOW, NOW, PoseInput(NOW, NOW, (0.0, 0.0, 1.0), frame_id)) == {}
    policy = dataclasses.replace(newest(), frame_id=frame_id)
    assert watchdogs.policy(NOW, ArbiterInputs(NOW, policy, adapters=ADAPTERS), 0) == {}


def test_another_frame_is_a_fault_that_names_both_and_the_file(watchdogs):
    fault = frame_fault("world", CONTRACT)
    assert fault
    pose = PoseInput(NOW, NOW, (0.0, 0.0, 1.0), "world")
    assert watchdogs.pose(NOW, NOW, pose) == {Reason.OBSERVATION_INVALID: fault}
    policy = dataclasses.replace(newest(), frame_id="world")
    inputs = ArbiterInputs(NOW, policy, adapters=ADAPTERS)
    assert watchdogs.policy(NOW, inputs, 0) == {Reason.CHUNK_MALFORMED: fault}
    assert watchdogs.policy_row(NOW, policy, ADAPTERS) is None
    with_feedback = dataclasses.replace(CONTRACT, feedback=FeedbackSpec("ee_twist", "geometry_msgs/msg/TwistStamped"))
    found = Watchdogs(ArbiterConfig(), with_feedback).feedback(NOW, NOW, FeedbackInput(NOW, NOW, (0.0,) * 6, "world"))
    assert found == {Reason.FEEDBACK_INVALID: fault}


def test_the_robots_own_frame_name_is_for_its_reports_alone():
    watchdogs = Watchdogs(ArbiterConfig(robot=OutputConfig(output_frame="fr3_link0")), CONTRACT)
    assert watchdogs.pose(NOW, NOW, PoseInput(NOW, NOW, (0.0, 0.0, 1.0), "fr3_link0")) == {}
    found = watchdogs.pose(NOW, NOW, PoseInput(NOW, NOW, (0.0, 0.0, 1.0), "world"))
    assert found[Reason.OBSERVATION_INVALID].endswith(", output_frame = 'fr3_link0' in config/arbiter.yaml")
    policy = dataclasses.replace(newest(), frame_id="fr3_link0")
    found = watchdogs.policy(NOW, ArbiterInputs(NOW, policy, adapters=ADAPTERS), 0)
    assert list(found) == [Reason.CHUNK_MALFORMED]
