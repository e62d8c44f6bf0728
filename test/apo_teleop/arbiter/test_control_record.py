"""Counts over the ticks, and their summary."""

import pytest
from arbiter_rig import PERIOD, RIGHT, START, Rig

from apo_teleop.arbiter.control_record import ControlRecord


@pytest.fixture
def session():
    """(record, rig) after two ticks of the policy, two of the operator and a hold."""
    rig, record = Rig(), ControlRecord()
    for deflection, spoiled in ((None, {}), (None, {}), (RIGHT, {}), (RIGHT, {}), (None, {"pose": False})):
        record.add(rig.tick(deflection, **spoiled), rig.inputs())
    return record, rig


def test_before_the_first_tick_there_is_no_state():
    assert ControlRecord().summary(START, 3) == {"state": "no tick yet", "ticks_missed": "3"}


def test_ticks_takeovers_and_states_are_counted(session):
    record, rig = session
    summary = record.summary(rig.now, 1)
    assert (record.ticks, record.takeovers) == (5, 1)
    counts = {name: summary[f"ticks_{name}"] for name in ("idle", "policy", "human", "hold", "estop")}
    assert counts == {"idle": "0", "policy": "2", "human": "2", "hold": "1", "estop": "0"}
    assert (summary["state"], summary["reason"], summary["ticks_missed"]) == ("HOLD", "observation_missing", "1")


def test_ages_count_from_the_arrival_and_never_below_zero(session):
    record, rig = session
    assert record.summary(rig.now + PERIOD, 0)["policy_age_s"] == "0.050"
    assert record.summary(rig.now - PERIOD, 0)["policy_age_s"] == "0.000"
    assert record.summary(rig.now, 0)["feedback_age_s"] == "never"


def test_a_change_is_another_state_or_reason():
    rig, record, changes = Rig(), ControlRecord(), []
    for deflection in (None, None, RIGHT, RIGHT, None):
        record.add(rig.tick(deflection), rig.inputs())
        changes.append(record.changed)
    assert changes == [True, False, True, False, True]


def test_limits_that_changed_a_command_are_counted():
    rig, record = Rig(), ControlRecord()
    rig.position = (0.4, 0.0, 1.0)  # at the border
    for _ in range(3):
        record.add(rig.tick(), rig.inputs())
    assert record.summary(rig.now, 0)["clipped limits.workspace_high.x"] == "3"
