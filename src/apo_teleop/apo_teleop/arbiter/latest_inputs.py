"""Keeps the newest input of each kind for the arbiter; loses no button event. Pure."""

from __future__ import annotations

import dataclasses

from apo_core.types import OperatorEvent
from apo_teleop.arbiter.types import (
    ArbiterInputs,
    FeedbackInput,
    OperatorInput,
    PolicyInput,
    PoseInput,
)


class LatestInputs:
    """Newest message of the policy, the operator, the observation and the feedback."""

    def __init__(self) -> None:
        self.policy: PolicyInput | None = None
        self.operator: OperatorInput | None = None
        self.pose: PoseInput | None = None
        self.feedback: FeedbackInput | None = None
        self.adapters: frozenset[int] = frozenset()  # versions the policy node has announced
        self.duplicate = ""  # topic with more than one publisher
        self.operator_expected = False  # a first sample of the operator may be on its way
        self.operator_published = False  # a node publishes them
        self.output_fault = ""  # why the output to the robot cannot compute motion
        self.output_share = 1.0  # of the newest command's speed that the arm's own limits have left

    def put_operator(self, sample: OperatorInput) -> OperatorInput:
        """Stores a sample; returns it with the events of those before it that no step has seen."""
        before = self.operator
        if before is not None and before.events:
            clear_stamp_ns = sample.stamp_ns if OperatorEvent.CLEAR in sample.events else before.clear_stamp_ns
            events = (*before.events, *sample.events)
            self.operator = dataclasses.replace(sample, events=events, clear_stamp_ns=clear_stamp_ns)
        else:
            self.operator = dataclasses.replace(sample, clear_stamp_ns=sample.stamp_ns) if sample.events else sample
        return self.operator

    def take(self, steady_ns: int, late: tuple[str, ...] = (), estop: bool = False) -> ArbiterInputs:
        """The snapshot for one step; the events in it are not given out again."""
        inputs = ArbiterInputs(
            steady_ns=steady_ns,
            policy=self.policy,
            operator=self.operator,
            pose=self.pose,
            feedback=self.feedback,
            adapters=self.adapters,
            estop=estop,
            duplicate=self.duplicate,
            operator_expected=self.operator_expected,
            operator_published=self.operator_published,
            output_fault=self.output_fault,
            output_share=self.output_share,
            late=late,
        )
        if self.operator is not None and self.operator.events:
            self.operator = dataclasses.replace(self.operator, events=(), clear_stamp_ns=None)
        return inputs
