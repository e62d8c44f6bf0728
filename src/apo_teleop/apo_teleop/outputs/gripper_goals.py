"""When a stream of gripper positions becomes a goal of an action. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from apo_core.config.parameters import parameter
from apo_core.contract.topic_names import topic_fault
from apo_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class GripperActionConfig:
    """Parameters of the node gripper_action. Raises ConfigError with every fault found."""

    action: str = parameter("gripper_cmd", "action of the gripper, of type control_msgs/action/GripperCommand")
    command_topic: str = parameter(
        "gripper/position", "Float64MultiArray of one position; gripper_topic of the arbiter"
    )
    largest_effort: float = parameter(20.0, "N (N m), max_effort of a goal", low=0.0, high=1000.0)
    smallest_change: float = parameter(
        0.002, "m (rad) by which a position must differ from that of the last goal to become one", low=1e-6, high=1.0
    )
    largest_rate_hz: float = parameter(5.0, "Hz, at which goals are sent at most", low=0.1, high=100.0)

    def __post_init__(self) -> None:
        faults = [
            f"{name} = {getattr(self, name)!r} {topic_fault(getattr(self, name))}"
            for name in ("action", "command_topic")
            if topic_fault(getattr(self, name))
        ]
        if faults:
            raise ConfigError("config/gripper_action.yaml", faults)


class GripperGoals:
    """Picks the positions that become goals: the first, then those that differ, not too many a second.

    The arbiter repeats its position with every command, so what is skipped for the rate comes again.
    """

    def __init__(self, config: GripperActionConfig):
        self._change, self._period_ns = config.smallest_change, round(1e9 / config.largest_rate_hz)
        self._last: float | None = None
        self._last_ns = 0

    def goal(self, position: float, now_ns: int) -> float | None:
        """The position [m, rad] to send as a goal now; None where there is none to send. Not finite: none."""
        if not math.isfinite(position) or (self._last is not None and abs(position - self._last) < self._change):
            return None
        if self._last is not None and now_ns - self._last_ns < self._period_ns:
            return None
        self._last, self._last_ns = position, now_ns
        return position

    def failed(self) -> None:
        """The last goal was not accepted: the same position becomes a goal again, at the same rate."""
        self._last = math.inf
