"""A device that another node reads, such as a browser. No ROS: samples are put in, samples come out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apo_core.config.parameters import parameter
from apo_core.types import OperatorEvent
from apo_teleop.devices.device import AXES, DeviceSample, disconnected
from apo_teleop.devices.rest_gate import RestGate

TOPIC = "operator/device"
_SETTLE_NS = 100_000_000
_QUEUE = 1000  # samples between two polls


@dataclass(frozen=True, slots=True)
class RemoteConfig:
    """How long a remote device may be silent."""

    remote_stale_s: float = parameter(
        0.15, "s after which a browser that moves the robot and sends nothing is lost", low=0.02, high=5.0
    )
    remote_rest_stale_s: float = parameter(
        0.6, "s after which a browser at rest that sends nothing is lost", low=0.02, high=10.0
    )


class RemoteDevice:
    """Checks each sample and keeps the newest. `put` and `publishers` may be used from another thread.

    A rejected sample disconnects the device, as silence, a second publisher and a new holder do: the operator's action
    is then unknown, but an emergency stop always counts. It moves once it has been at rest since it came.

    Args:
        config: largest silence.
        rest: share of full deflection up to which an axis is at rest.
    """

    name = "browser"

    def __init__(self, config: RemoteConfig, rest: float = 0.06):
        self.problem = "nobody drives in a browser"
        self.publishers = 0
        self._stale_ns = round(config.remote_stale_s * 1e9)
        self._rest_stale_ns = round(config.remote_rest_stale_s * 1e9)
        self._queue: deque[tuple[str, DeviceSample, str]] = deque(maxlen=_QUEUE)
        self._gate = RestGate(rest, _SETTLE_NS)
        self._last: DeviceSample | None = None  # None: not connected
        self._holder = ""
        self._was_open = False
        self._gone_reported = False

    def put(
        self,
        age_ns: int,
        steady_ns: int,
        holder: str,
        connected: bool,
        axes: Sequence[float],
        events: Sequence[str],
        held: bool = False,
    ) -> None:
        """A sample has arrived.

        Args:
            age_ns: ROS time now less its stamp.
            steady_ns: now.
            holder, connected, axes, events, held: its content, as in apo_interfaces/DeviceSample.
        """
        fault = self._fault(age_ns, axes, held)
        known = OperatorEvent.known(events)
        values = np.zeros(6) if fault else np.clip(np.asarray(axes, np.float64), -1.0, 1.0)
        sample = DeviceSample(steady_ns - max(0, age_ns), connected and not fault, values, known, held)
        self._queue.append((fault, sample, holder))

    def poll(self, now_ns: int) -> DeviceSample | None:
        """See Device."""
        events: list[OperatorEvent] = []
        news = False
        while self._queue:
            fault, sample, holder = self._queue.popleft()
            stops = [event for event in sample.events if event is OperatorEvent.ESTOP]
            if fault or not sample.connected:
                was_connected = self._last is not None
                self._lose(f"sample rejected: {fault}" if fault else "nobody drives in a browser")
                events += stops
                if was_connected:
                    break  # a loss is reported before what came after it
                continue
            if self._last is not None and holder != self._holder:
                self._queue.appendleft((fault, sample, holder))
                self._lose(f"{holder} drives in place of {self._holder}")
                break
            news = True
            self._last, self._holder, self._gone_reported = sample, holder, False
            events += sample.events
        if self._last is not None and self.publishers != 1:
            self._lose(f"{self.publishers} publishers on {TOPIC}")
        if self._last is not None:
            limit_ns, name = self._limit(self._last.held or bool(np.any(self._last.axes)))
            silent_ns = now_ns - self._last.stamp_ns
            if silent_ns > limit_ns:
                self._lose(f"silent for {silent_ns * 1e-9:.2f} s, {name} = {limit_ns * 1e-9:g}")
        if self._last is None:
            reported, self._gone_reported = self._gone_reported, True
            return None if reported and not events else disconnected(now_ns, events)
        return self._sample(self._last, now_ns, tuple(events), news)

    def close(self) -> None:
        """See Device."""

    def _fault(self, age_ns: int, axes: Sequence[float], held: bool) -> str:
        if len(axes) != len(AXES) or not np.all(np.isfinite(axes)):
            return f"axes {list(axes)[:8]} are not {len(AXES)} finite numbers"
        limit_ns, name = self._limit(held or bool(np.any(axes)))
        if abs(age_ns) > limit_ns:
            how = "old" if age_ns > 0 else "ahead"
            return f"stamp {abs(age_ns) * 1e-9:.3f} s {how}, {name} = {limit_ns * 1e-9:g}"
        return ""

    def _limit(self, moves: bool) -> tuple[int, str]:
        """Largest age of a sample in ns, and its parameter."""
        return (self._stale_ns, "remote_stale_s") if moves else (self._rest_stale_ns, "remote_rest_stale_s")

    def _lose(self, problem: str) -> None:
        self._last, self._holder, self.problem = None, "", problem
        self._gate.reset()

    def _sample(
        self, last: DeviceSample, now_ns: int, events: tuple[OperatorEvent, ...], news: bool
    ) -> DeviceSample | None:
        self._gate.update(now_ns, last.axes)
        waits = not self._gate.is_open and self._gate.is_deflected(last.axes)
        self.problem = "waits: it is deflected, let go of it once" if waits else ""
        changed = self._gate.is_open != self._was_open
        self._was_open = self._gate.is_open
        if not (news or changed):
            return None
        axes = last.axes.copy() if self._gate.is_open else np.zeros(6)
        return DeviceSample(last.stamp_ns, True, axes, events, last.held and self._gate.is_open)
