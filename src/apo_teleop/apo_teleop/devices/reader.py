"""Reads a device in a thread of its own, so that a slow one holds up nothing else. No ROS."""

from __future__ import annotations

import dataclasses
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable

from apo_teleop.devices.device import Device, DeviceSample, disconnected
from apo_teleop.devices.mapping import AxisMapping, OperatorSample
from apo_teleop.devices.publication import NO_OPERATOR, OperatorPublication


class NoDevice:
    """A device that is never connected."""

    name = "none"
    problem = "no device is configured"

    def __init__(self) -> None:
        self._reported = False

    def poll(self, now_ns: int) -> DeviceSample | None:
        """See Device."""
        reported, self._reported = self._reported, True
        return None if reported else disconnected(now_ns)

    def close(self) -> None:
        """See Device."""


_RETRY_S = 1.0  # after a device that raised
_REPORTS, _REPORTS_S = 20, 60.0  # so many lines for people at most in so long a time; a loose plug must not fill a disk


class DeviceReader:
    """Polls, maps, and publishes what is due. Its last sample is that of an operator who is gone.

    Args:
        device: polled and closed by the thread.
        mapping, publication: used under this reader's lock.
        period_s: between two polls.
        publish: called from the thread with each sample that is due; None: samples are fetched with `take_always`.
        report: called from the thread with a line for people when the device comes, goes or has another problem.
    """

    def __init__(
        self,
        device: Device,
        mapping: AxisMapping,
        publication: OperatorPublication,
        period_s: float,
        publish: Callable[[OperatorSample], None] | None,
        report: Callable[[str], None],
    ):
        self._device, self._mapping, self._publication = device, mapping, publication
        self._period_s, self._publish, self._report = period_s, publish, report
        self._lock, self._stop, self._news = threading.Lock(), threading.Event(), threading.Event()
        self._failure = ""
        self.connected = False
        self.used = False  # moved, or a button pressed, since it was connected
        self._thread = threading.Thread(target=self._run, name=f"read {device.name}", daemon=True)

    @property
    def summary(self) -> dict[str, str]:
        """Key and value for /diagnostics."""
        return {
            "device": self._device.name,
            "connected": str(self.connected).lower(),
            "problem": self._device.problem,
            "enabled": str(self._publication.enabled).lower(),
        }

    def start(self) -> None:
        """Begins to poll."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and gives the device back."""
        self._stop.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self) -> None:
        """Polls now; for a device that has received a message."""
        self._news.set()

    def enable(self, enabled: bool) -> None:
        """Whether the operator may act."""
        with self._lock:
            self._publication.enable(enabled)

    def take_always(self) -> OperatorSample:
        """The newest sample, with the events since the last one."""
        with self._lock:
            return self._publication.take_always(time.monotonic_ns())

    def _run(self) -> None:
        reported: tuple[bool, str] | None = None
        reports: deque[float] = deque(maxlen=_REPORTS)
        while not self._stop.is_set():
            self._news.clear()
            sample, wait_s = self._poll()
            self.connected = sample.connected if sample is not None else self.connected
            state = (self.connected, self._device.problem)
            now_s = time.monotonic()
            if state != reported and not (len(reports) == _REPORTS and now_s - reports[0] < _REPORTS_S):
                reported = state
                reports.append(now_s)
                words = ("connected" if self.connected else "not connected", self._device.problem)
                self._report(f"{self._device.name}: {', '.join(filter(None, words))}")
            with self._lock:
                if sample is not None:
                    mapped = self._mapping.apply(sample)
                    self.used = mapped.connected and (self.used or mapped.active or bool(mapped.events))
                    self._publication.put(mapped)
                due = self._publication.take(time.monotonic_ns()) if self._publish is not None else None
            if due is not None and self._publish is not None:
                self._publish(due)
            self._news.wait(wait_s)
        self._device.close()
        if self._publish is not None:
            self._publish(dataclasses.replace(NO_OPERATOR, stamp_ns=time.monotonic_ns()))

    def _poll(self) -> tuple[DeviceSample | None, float]:
        """The device's sample, and how long to wait for the next; a device that raises counts as lost."""
        now_ns = time.monotonic_ns()
        try:
            return self._device.poll(now_ns), self._period_s
        except Exception:  # a fault of the device's class must not silence the operator's topic
            failure = traceback.format_exc()
            if failure != self._failure:
                self._report(f"{self._device.name} failed:\n{failure}")
            self._failure = failure
            return disconnected(now_ns), _RETRY_S
