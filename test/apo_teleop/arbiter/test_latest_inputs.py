"""The newest inputs, and every button event once."""

import numpy as np

from apo_teleop.arbiter.latest_inputs import LatestInputs
from apo_teleop.arbiter.types import OperatorInput


def sample(stamp_ns, *events):
    return OperatorInput(stamp_ns, stamp_ns, True, False, np.zeros(7, np.float32), events)


def test_nothing_received_is_none():
    inputs = LatestInputs().take(5, ("policy",))
    assert (inputs.steady_ns, inputs.policy, inputs.operator, inputs.pose) == (5, None, None, None)
    assert inputs.late == ("policy",)


def test_events_of_samples_between_two_steps_come_once_and_in_order():
    inbox = LatestInputs()
    inbox.put_operator(sample(1, "estop"))
    assert inbox.put_operator(sample(2, "clear")).events == ("estop", "clear")
    first = inbox.take(3).operator
    assert (first.stamp_ns, first.events) == (2, ("estop", "clear"))
    assert inbox.take(4).operator.events == ()
