"""A decision in words."""

import pytest
from arbiter_rig import RIGHT, Rig


@pytest.mark.parametrize(
    ("config", "tick", "text", "is_stop"),
    [
        ({}, {}, "POLICY: policy_in_control", False),
        ({}, {"deflection": RIGHT}, "HUMAN: operator_motion", False),
        ({"start_enabled": False}, {}, "IDLE: disabled", False),
        ({}, {"policy": {"fault": "no image"}}, "HOLD: policy_fault no image", True),
        ({}, {"events": ("estop",)}, "ESTOP: estop, until cleared", True),
    ],
)
def test_a_decision_is_one_line_and_a_stop_is_marked(config, tick, text, is_stop):
    decision = Rig(**config).tick(**tick)
    assert (decision.text, decision.is_stop) == (text, is_stop)
