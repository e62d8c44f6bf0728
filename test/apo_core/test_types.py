import dataclasses

import numpy as np
import pytest

from apo_core.types import ControlSource, EpisodeOutcome, Observation, OperatorEvent, Outcome


def test_values_are_frozen():
    outcome = EpisodeOutcome(Outcome.SUCCESS, "task_success", terminated=True, truncated=False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        outcome.reason = "other"


def test_values_take_no_new_attributes():
    observation = Observation(1, {}, {"ee_pose": np.zeros(7, np.float32)}, "lift")
    with pytest.raises((AttributeError, TypeError)):
        observation.extra = 1


def test_source_is_the_text_of_the_message():
    assert ControlSource("HUMAN") is ControlSource.HUMAN
    assert ControlSource.HOLD == "HOLD"


def test_unknown_events_of_a_message_are_left_out():
    assert OperatorEvent.known(["start", "dance", "ESTOP", "estop", "start"]) == (
        OperatorEvent.START,
        OperatorEvent.ESTOP,
        OperatorEvent.START,
    )


def test_an_event_is_the_text_of_the_message():
    assert [str(event) for event in OperatorEvent] == [event.value for event in OperatorEvent]
    assert f"operator_{OperatorEvent.UNDO_LAST}" == "operator_undo_last"
