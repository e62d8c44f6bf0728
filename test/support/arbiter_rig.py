"""An arbiter whose inputs are fresh at every tick."""

import dataclasses
from pathlib import Path

import numpy as np

from apo_core.contract.contract import load_contract
from apo_core.contract.specs import FeedbackSpec
from apo_core.types import ActionChunk
from apo_teleop.arbiter.arbiter import Arbiter
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.types import ArbiterInputs, OperatorInput, PolicyInput, PoseInput

CONTRACT = load_contract(Path(__file__).parents[2] / "config" / "contract.yaml")
PERIOD = 50_000_000
SECOND = 1_000_000_000
START = 100 * SECOND
ROWS = np.array([[0.1 * (i + 1), 0, 0, 0, 0, 0, -1] for i in range(4)], np.float32)
RIGHT = np.array([0, -0.3, 0, 0, 0, 0.5, 0], np.float32)
STILL = (0.0,) * 6
WITH_FEEDBACK = dataclasses.replace(CONTRACT, feedback=FeedbackSpec("ee_twist", "geometry_msgs/msg/TwistStamped"))


def with_limits(**limits):
    """The shipped contract with other limits."""
    return dataclasses.replace(CONTRACT, limits=dataclasses.replace(CONTRACT.limits, **limits))


class Rig:
    """An arbiter with fresh inputs at every tick, whose operator has been at rest; a test spoils what it is about."""

    def __init__(self, contract=CONTRACT, **config):
        self.arbiter = Arbiter(ArbiterConfig(**{"start_enabled": True, **config}), contract)
        self.now = START
        self.events = ()
        self.takeovers = 0
        self.deflection = None
        self.rows = ROWS
        self.tokens = None
        self.chunk_stamp_ns = None  # None: the current tick
        self.position = (0.0, 0.0, 1.0)
        self.arbiter.on_operator_sample(self.inputs().operator)

    def inputs(self) -> ArbiterInputs:
        stamp = self.now if self.chunk_stamp_ns is None else self.chunk_stamp_ns
        chunk = ActionChunk(stamp, PERIOD, self.rows, np.zeros(len(self.rows), np.float32), 3, self.tokens)
        active = self.deflection is not None
        values = self.deflection if active else np.zeros(7, np.float32)
        return ArbiterInputs(
            steady_ns=self.now,
            policy=PolicyInput(chunk, "", self.now),
            operator=OperatorInput(self.now, self.now, True, active, values, self.events),
            pose=PoseInput(self.now, self.now, self.position),
            adapters=frozenset({3}),
        )

    def tick(self, deflection=None, events=(), advance=PERIOD, policy=None, operator=None, pose=None, **spoiled):
        """One step; `policy`, `operator`, `pose` are fields to replace, or False for nothing received."""
        self.now += advance
        self.deflection, self.events = deflection, events
        inputs = self.inputs()
        for name, change in (("policy", policy), ("operator", operator), ("pose", pose)):
            if change is False:
                spoiled[name] = None
            elif change:
                spoiled[name] = dataclasses.replace(getattr(inputs, name), **change)
        decision = self.arbiter.step(self.now, dataclasses.replace(inputs, **spoiled))
        self.takeovers += decision.takeover
        return decision


def chunk(stamp, rows=ROWS, period=PERIOD):
    return ActionChunk(stamp, period, rows, np.zeros(len(rows), np.float32), 3)
