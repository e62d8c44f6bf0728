"""The present state of one robot as the page shows it. Pure; steady time is passed in, s."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apo_console.view.alarms import Signs, SteadyAlarm, alarm
from apo_console.view.timeline import Timeline

_OLD_S = 5.0  # a problem of a node that has not reported for so long is forgotten
_OK = 0  # level of diagnostics


@dataclass(slots=True)
class Node:
    """The newest diagnostics of a node."""

    level: int
    text: str
    at_s: float


@dataclass(slots=True)
class Live:
    """What topics have carried so far.

    Args:
        name: of the robot; empty: the only one.
        cameras: of the contract, in its order.
    """

    name: str
    cameras: tuple[str, ...]
    _timeline: Timeline = field(default_factory=Timeline)
    _status: dict[str, Any] = field(default_factory=dict)
    _status_s: float | None = None
    _observation_age_s: float | None = None
    _doubt: dict[str, Any] = field(default_factory=dict)
    _adapter: dict[str, Any] = field(default_factory=dict)
    _trial: dict[str, Any] = field(default_factory=dict)
    _episode: dict[str, Any] = field(default_factory=dict)
    _operator_time: dict[str, Any] = field(default_factory=dict)
    _training: dict[str, Any] = field(default_factory=dict)
    _task: dict[str, Any] = field(default_factory=dict)
    _device: dict[str, Any] = field(default_factory=dict)
    _nodes: dict[str, Node] = field(default_factory=dict)
    _alarm: SteadyAlarm = field(default_factory=SteadyAlarm)

    def on_status(self, now_s: float, state: str, reason: str, latched: bool, **figures: float) -> None:
        """A status of the arbiter; `figures` as in apo_interfaces/ControlStatus."""
        self._status_s = now_s
        self._status = {"state": state, "reason": reason, "latched": latched, **_finite(figures)}
        self._timeline.add(now_s, state, reason)

    def on_command(self, age_s: float, source: str, values: Sequence[float], clipped: str) -> None:
        """A command; `age_s` is the age of the observation behind it."""
        self._observation_age_s = age_s
        self._status |= {"source": source, "values": _rounded(values), "clipped": clipped}

    def on_doubt(self, help_wanted: bool, **figures: float) -> None:
        """How sure the policy is; `figures` as in apo_interfaces/ActionDoubt."""
        self._doubt = {"help_wanted": help_wanted, **_finite(figures)}

    def on_adapter(self, state: str, version: int, requested: int, reason: str) -> None:
        """What the policy serves, as in apo_interfaces/AdapterStatus."""
        self._adapter = {"state": state, "version": version, "requested": requested, "reason": reason}

    def on_trial(self, candidate: int, stage: str, reason: str, **figures: float) -> None:
        """The trial of a candidate adapter; `figures` as in apo_interfaces/AdapterTrial."""
        self._trial = {"candidate": candidate, "stage": stage, "reason": reason, **_finite(figures)}

    def on_episode(self, event: str, episode_id: str, outcome: str, reason: str, steps: int, takeovers: int) -> None:
        """An event of the recorder, as in apo_interfaces/EpisodeEvent."""
        self._episode = {
            "event": event,
            "id": episode_id,
            "outcome": outcome,
            "reason": reason,
            "steps": steps,
            "takeovers": takeovers,
        }

    def on_operator_time(
        self, episode_id: str, watched_s: float, driven_s: float, rounds: Sequence[Mapping[str, float]]
    ) -> None:
        """The recorder's ledger, as in apo_interfaces/OperatorLedger; `rounds` as in apo_interfaces/LedgerRound."""
        last = {"episode": episode_id, **_finite({"watched_s": watched_s, "driven_s": driven_s})}
        self._operator_time = {**last, "rounds": [_finite(each) for each in rounds]}

    def on_training(self, state: str, run: str, step: int, steps: int, message: str, **figures: float) -> None:
        """Progress of the trainer, as in apo_interfaces/TrainerStatus."""
        progress = {"state": state, "run": run, "step": step, "steps": steps, "message": message}
        self._training = {**progress, **_finite(figures)}

    def on_task(self, trial: int, step: int, remaining: float, stages: dict[str, bool], success: bool) -> None:
        """Progress of the task, as in apo_interfaces/TaskStatus."""
        self._task = {
            "trial": trial,
            "step": step,
            "stages": stages,
            "success": success,
            **_finite({"rest": remaining}),
        }

    def on_device(self, device: str, connected: bool, active: bool) -> None:
        """A sample of the operator's device."""
        self._device = {"name": device, "connected": connected, "active": active}

    def on_diagnostics(self, now_s: float, node: str, level: int, text: str) -> None:
        """The diagnostics of a node."""
        self._nodes[node] = Node(level, text, now_s)

    def state(self, now_s: float) -> dict[str, Any]:
        """Everything, as JSON holds it."""
        silent_s = None if self._status_s is None else now_s - self._status_s
        found = {name: node for name, node in self._nodes.items() if now_s - node.at_s < _OLD_S and node.level != _OK}
        if self._device.get("name") == "browser" and not self._device["connected"]:
            found.pop("teleop", None)  # that nobody drives in a browser is no problem; a page shows who does
        problems = [f"{name}: {node.text}" for name, node in sorted(found.items(), key=lambda item: -item[1].level)]
        found_now = alarm(
            Signs(
                silent_s,
                str(self._status.get("state", "")),
                str(self._status.get("reason", "")),
                bool(self._status.get("latched", False)),
                bool(self._doubt.get("help_wanted", False)),
                tuple(problems),
            )
        )
        shown = self._alarm.update(now_s, found_now)
        return {
            "name": self.name,
            "cameras": list(self.cameras),
            "alarm": {"level": shown.level, "text": shown.text, "action": shown.action},
            "control": self._status | _finite({"silent_s": silent_s, "observation_age_s": self._observation_age_s}),
            "timeline": self._timeline.rows(now_s),
            "doubt": self._doubt,
            "adapter": self._adapter,
            "trial": self._trial,
            "episode": self._episode,
            "operator_time": self._operator_time,
            "training": self._training,
            "task": self._task,
            "device": self._device,
            "problems": problems,
        }


def _finite(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    """JSON has no NaN: what is not finite is null."""
    return {
        name: None if value is None or not math.isfinite(value) else round(float(value), 4)
        for name, value in figures.items()
    }


def _rounded(values: Sequence[float]) -> list[float | None]:
    return [round(float(value), 3) if math.isfinite(value) else None for value in values]
