"""Runs a schedule of faults against the stack, and judges what it observes."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from apo_bringup.chaos.events import (
    NANOSECONDS,
    Arbiter,
    Command,
    Event,
    InOrder,
    LineDelay,
    News,
    Now,
    RobotTwist,
    Starved,
    StopRequests,
)
from apo_bringup.chaos.faults import Surroundings, largest_delay_s, make_fault
from apo_bringup.chaos.file_checks import Observed, check_episode, check_store
from apo_bringup.chaos.health import Health
from apo_bringup.chaos.invariants import Invariants, Violation
from apo_bringup.chaos.machine.processes import ProcessorWait, is_stopped, resident_bytes
from apo_bringup.chaos.report import FaultRecord, MemorySample, RunRecord
from apo_bringup.chaos.schedule import PlannedFault

GOES_ON, NO_CODE = "goes_on", "no_foreign_code"
_SAMPLE_S, _MEMORY_S, _CLEAR_S, _LOOK_S = 0.03, 5.0, 1.0, 1.0
_ORDER_S = 1.5  # the witness is behind by less


class Sampler:
    """A thread that posts what the kernel knows of the arbiter, and measures the memory of all nodes."""

    def __init__(self, around: Surroundings, record: RunRecord):
        self.halted = False  # the arbiter is killed or stopped by a fault
        self.pids: dict[str, int] = {}
        self._around, self._record = around, record
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        started = time.monotonic()
        looked = measured = 0.0
        wait: ProcessorWait | None = None
        pid, sampled_ns = 0, time.time_ns()
        while not self._end.wait(_SAMPLE_S):
            now = time.monotonic()
            if now - looked > _LOOK_S or (pid and is_stopped(pid) and not self.halted):
                looked, self.pids = now, self._around.stack.pids()
            if self.pids.get("arbiter", 0) != pid:
                pid = self.pids.get("arbiter", 0)
                wait = ProcessorWait(pid) if pid else None
            post = self._around.stack.events.put
            post(Arbiter(time.time_ns(), pid, bool(pid) and not self.halted and not is_stopped(pid)))
            if wait is not None:
                post(Starved(sampled_ns, wait.take(), sampled_ns := time.time_ns()))
            post(Now(time.time_ns()))
            if now - measured > _MEMORY_S:
                measured = now
                for name, node in self.pids.items():
                    sample = MemorySample(now - started, node, resident_bytes(node))
                    self._record.memory[name].append(sample)


class Runner:
    """One run.

    Args:
        around: the stack and what is set up for it, not started yet.
        invariants: of the command stream.
        record: receives everything.
        recovery_s: s after a fault in which the loop must go on.
        note: takes a line for people.
        stop: whether the run shall end.
    """

    def __init__(
        self,
        around: Surroundings,
        invariants: Invariants,
        record: RunRecord,
        recovery_s: float,
        note: Callable[[str], None],
        stop: Callable[[], bool],
    ):
        self._around, self._invariants, self._record = around, invariants, record
        self._recovery_s, self._note, self._stop = recovery_s, note, stop
        self._health, self._observed, self._in_order = Health(), Observed(), InOrder(_ORDER_S)
        self._stop_requests = StopRequests()
        self._sampler: Sampler | None = None

    def run(self, schedule: Sequence[PlannedFault], start_s: float, until_s: float) -> None:
        """Starts the stack, applies the faults, ends the stack, checks the files.

        Args:
            schedule: the faults.
            start_s: s that the start may take.
            until_s: monotonic time at which no further fault begins.
        """
        begun = time.monotonic()
        self._around.stack.start()
        self._sampler = Sampler(self._around, self._record)
        try:
            if self._wait_for_loop(time.time_ns(), start_s, FaultRecord(schedule[0])) is None:
                self._record.stopped = f"the stack did not start within {start_s:.0f} s: {self._missing(0)}"
                return
            self._note("the loop runs")
            failures = 0
            for planned in schedule:
                if self._stop() or time.monotonic() > until_s:
                    break
                failures = 0 if self._one(planned) else failures + 1
                if self._stop():
                    break
                if failures > 1 or self._around.stack.ended:
                    why = self._around.stack.ended or "two faults in a row were not recovered from"
                    self._record.stopped = f"{why}, at fault {planned.index}, {planned.text}"
                    break
            while not self._stop() and not self._record.stopped and time.monotonic() < until_s < float("inf"):
                self._take_events(1.0)
            self._take_events(2.0)
        finally:
            self._sampler.close()
            self._judge(Arbiter(time.time_ns(), 0, False))  # what ends it from here on is no fault
            left = self._around.stack.stop()
            self._record.seconds = time.monotonic() - begun
        self._take_events(0.0)
        self._judge(Arbiter(time.time_ns(), 0, False), last=True)
        for text in left:
            self._violation(GOES_ON, text)
        self._check_files()

    def _one(self, planned: PlannedFault) -> bool:
        """Applies a fault, undoes it, waits for the loop; returns whether it goes on."""
        assert self._sampler is not None
        record = FaultRecord(planned)
        self._take_events(planned.pause_s)
        self._record.faults.append(record)
        fault = make_fault(planned, self._around)
        self._sampler.halted = planned.target == "arbiter" and planned.kind in ("kill", "stop")
        line_s = largest_delay_s(planned.style) if (planned.kind, planned.target) == ("delay", "arbiter") else 0.0
        try:
            try:
                self._judge(LineDelay(time.time_ns(), line_s))
                fault.apply()
                record.applied = True
            except (LookupError, OSError) as error:
                record.why_not = str(error)
            self._take_events(planned.duration_s)
        finally:
            fault.undo()
            self._sampler.halted = False
        ended_ns = time.time_ns()
        self._judge(LineDelay(ended_ns + round(line_s * NANOSECONDS), 0.0))  # what was sent before is still on its way
        record.recovery_s = self._wait_for_loop(ended_ns, self._recovery_s, record)
        if record.recovery_s is None and (self._stop() or self._around.stack.ended):
            return False
        self._record.checked[GOES_ON] += 1
        if record.recovery_s is None:
            self._violation(GOES_ON, f"{self._recovery_s:.0f} s after it, {self._missing(ended_ns)}")
        self._record.checked[NO_CODE] += 1
        if self._around.trap.exists():
            self._violation(NO_CODE, self._around.trap.read_text())
            self._around.trap.unlink()
        took = "not applied: " + record.why_not if not record.applied else f"{record.recovery_s or -1:.1f} s"
        total = sum(self._record.counts.values())
        self._note(f"{planned.index:>4} {planned.text}: {took}; {total} violations")
        return record.recovery_s is not None

    def _missing(self, since_ns: int) -> str:
        running = self._sampler.pids if self._sampler is not None else {}
        return "there is not yet " + ", ".join(self._health.missing(since_ns, running))

    def _wait_for_loop(self, since_ns: int, limit_s: float, record: FaultRecord) -> float | None:
        """Seconds until everything has given a sign of life; None if it takes longer. Clears latches as a person."""
        assert self._sampler is not None
        begun = time.monotonic()
        cleared = begun
        while self._health.missing(since_ns, self._sampler.pids):
            now = time.monotonic()
            if now - begun > limit_s or self._stop() or self._around.stack.ended:
                return None
            if self._health.latched and now - cleared > _CLEAR_S:
                cleared = now
                record.clears += 1
                with contextlib.suppress(OSError):  # the next second's request goes to another injector
                    self._around.stack.ask({"do": "call", "service": "arbiter/clear"})
            self._take_events(0.1)
        return time.monotonic() - begun

    def _take_events(self, seconds: float) -> None:
        """Processes events for a time."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            try:
                event = self._around.stack.events.get(timeout=max(0.0, left)) if left > 0 else self._next()
            except queue.Empty:
                return
            self._on_event(event)

    def _next(self) -> Event:
        return self._around.stack.events.get_nowait()

    def _on_event(self, event: Event) -> None:
        self._health.on_event(event)
        if isinstance(event, Command | RobotTwist):
            self._observed.on_event(event)
        elif isinstance(event, News):
            self._on_news(event)
        self._judge(event)

    def _on_news(self, event: News) -> None:
        if event.what in ("episode", "trainer", "adapter"):
            state = event.data.get("event") or event.data.get("state")
            if state not in ("RUNNING", "IDLE"):
                self._record.outcomes[f"{event.what} {str(state)[:20]}"] += 1
        elif event.what in ("asked", "answer"):
            for estop in self._stop_requests.on_news(event):
                self._judge(estop)

    def _judge(self, event: Event, last: bool = False) -> None:
        """Judges the events whose turn it is; with `last` all that wait."""
        for due in [*self._in_order.add(event), *(self._in_order.rest() if last else ())]:
            for violation in self._invariants.on_event(due):
                # while the nodes start, they take each other's processor time
                if self._record.faults and self._record.add(violation):
                    self._note(f"     VIOLATION {violation.invariant}: {violation.text}")

    def _violation(self, name: str, text: str) -> None:
        self._record.add(Violation(time.time_ns(), name, text))

    def _check_files(self) -> None:
        seen, t = self._record.seen, time.time_ns()
        episodes: list[Path] = sorted(self._around.episodes.glob("*.h5"))
        self._note(f"checking {len(episodes)} episode files")
        for path in episodes:
            for violation in check_episode(path, self._observed, seen, t):
                self._record.add(violation)
        for violation in check_store(self._around.adapters, seen, t):
            self._record.add(violation)
        self._record.checked["valid_files"] += seen["episodes"] + seen["adapters"]
        self._record.checked["recorded_source"] += seen["compared"]
        self._record.checked.update(self._invariants.checked)
        self._record.largest_gap_ms = self._invariants.largest_gap_ns / 1e6
