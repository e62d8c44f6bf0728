"""Keeps the newest input of each kind for the arbiter; loses no button event. Pure."""

from __future__ import annotations

import dataclasses

from apo_teleop.arbiter_types import ArbiterInputs, OperatorInput, PolicyInput, PoseInput


class InputInbox:
    """Newest message of the policy, the operator and the observation."""

    def __init__(self) -> None:
        self.policy: PolicyInput | None = None
        self.operator: OperatorInput | None = None
        self.pose: PoseInput | None = None
        self.duplicate = ""  # topic with more than one publisher

    def put_operator(self, sample: OperatorInput) -> OperatorInput:
        """Stores a sample; returns it with the events of those before it that no step has seen."""
        earlier = self.operator.events if self.operator is not None else ()
        self.operator = dataclasses.replace(sample, events=(*earlier, *sample.events))
        return self.operator

    def take(self, steady_ns: int, late: tuple[str, ...] = ()) -> ArbiterInputs:
        """The snapshot for one step; the events in it are not given out again."""
        inputs = ArbiterInputs(steady_ns, self.policy, self.operator, self.pose, self.duplicate, late)
        if self.operator is not None:
            self.operator = dataclasses.replace(self.operator, events=())
        return inputs
