"""Whether the loop goes on: what must have happened since a moment. Pure."""

from __future__ import annotations

from collections.abc import Collection

from apo_bringup.chaos.events import Chunk, Command, Event, News, Operator, Pose
from apo_bringup.chaos.invariants import HOLD
from apo_bringup.chaos.schedule import NODES

_REPORTING = tuple(name for name in NODES if name != "sim_bridge")  # nodes that send /diagnostics


class Health:
    """The newest sign of life of every part."""

    def __init__(self) -> None:
        self.latched = False
        self._seen: dict[str, int] = {}

    def on_event(self, event: Event) -> None:
        """Takes an event."""
        if isinstance(event, Command):
            if event.source != HOLD:
                self._seen["a command of policy or operator"] = event.t
        elif isinstance(event, Pose):
            self._seen["ee_pose"] = event.t
        elif isinstance(event, Operator):
            self._seen["a sample of the operator"] = event.t
        elif isinstance(event, Chunk):
            if event.usable:
                self._seen["an action of the policy"] = event.t
        elif isinstance(event, News):
            if event.what == "alive":
                self._seen[f"diagnostics of {event.data['node'].rpartition('/')[2]}"] = event.t
            elif event.what == "episode" and event.data["event"] == "STARTED":
                self._seen["the start of an episode"] = event.t
            elif event.what == "status":
                self.latched = bool(event.data["latched"])

    def missing(self, since: int, running: Collection[str]) -> list[str]:
        """What has given no sign of life after a time.

        Args:
            since: ns of the system clock.
            running: nodes that have a process.
        """
        signs = ["a command of policy or operator", "ee_pose", "a sample of the operator", "an action of the policy"]
        signs += [f"diagnostics of {name}" for name in _REPORTING] + ["the start of an episode"]
        dead = [f"the process of {name}" for name in NODES if name not in running]
        return dead + [sign for sign in signs if self._seen.get(sign, 0) <= since]
