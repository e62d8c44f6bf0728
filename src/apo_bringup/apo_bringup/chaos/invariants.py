"""What must hold whatever fails, checked on events from outside the nodes. Pure; events come in order of arrival.

Times are limited by what the arbiter can be blamed for: it must run, and what it waited for a processor is added.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from apo_bringup.chaos.events import (
    NANOSECONDS,
    Arbiter,
    Chunk,
    Command,
    Estop,
    Event,
    ForeignPose,
    LineDelay,
    Now,
    Operator,
    Pose,
    Publishers,
    Starved,
)
from apo_core.contract.contract import Contract

HOLD, POLICY, HUMAN = "HOLD", "POLICY", "HUMAN"
_ROUNDING = 1e-4  # share of a limit forgiven: commands are float32
_KEPT_NS = 5 * NANOSECONDS  # starvation that is remembered
_OWN = ("command", "cartesian_command")  # topics of the arbiter


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold."""

    t: int
    invariant: str
    text: str


@dataclass(frozen=True, slots=True)
class Times:
    """Parameters of the arbiter under test and the limits of the invariants, s."""

    policy_silent_s: float = 0.5
    operator_stale_s: float = 0.3
    publisher_check_s: float = 0.5
    hold_s: float = 0.2  # HOLD this long after it must hold
    gap_s: float = 0.2  # between two commands
    yield_s: float = 0.1  # never POLICY so long after the arbiter knows that the operator moves
    receive_s: float = 0.3  # the arbiter has received what the operator sent so long ago
    gone_s: float = 0.5  # the observer may see this later than the arbiter what excuses a command


@dataclass(slots=True)
class Watched:
    """How long the arbiter has been able to run, and what it lacked."""

    runs_since: int | None = None
    pid: int = 0
    _starved: deque[tuple[int, int]] = field(default_factory=deque)

    def on_event(self, event: Event) -> None:
        """Follows process and processor time."""
        if isinstance(event, Arbiter):
            if not event.runs:
                self.runs_since = None
            elif self.runs_since is None or event.pid != self.pid:
                self.runs_since = event.t
            self.pid = event.pid
        elif isinstance(event, Starved) and event.ns > 0:
            self._starved.append((event.until, event.ns))
            while self._starved[0][0] < event.t - _KEPT_NS:
                self._starved.popleft()

    def starved_ns(self, since: int) -> int:
        """Time that the arbiter waited for a processor since then."""
        return sum(ns for until, ns in self._starved if until > since)

    def is_due(self, since: int, limit_s: float, now: int) -> bool:
        """Whether the arbiter has had `limit_s` of its own since a condition began to hold."""
        if self.runs_since is None:
            return False
        start = max(since, self.runs_since)
        return now - start - self.starved_ns(start) > limit_s * NANOSECONDS


def _violation(command: Command, name: str, text: str) -> Violation:
    return Violation(command.t, name, f"tick {command.tick}, {command.source} {command.reason}: {text}")


def _moved_for(command: Command, missed: Operator) -> str:
    return f"the operator has moved for {(command.t - missed.t) / 1e9:.2f} s"


class Invariants:
    """All invariants of the command stream.

    Args:
        contract: limits of motion, rate, greatest age.
        times: of the arbiter's parameters.
    """

    NAMES = ("within_limits", "no_gap", "hold_in_time", "operator_first")

    def __init__(self, contract: Contract, times: Times | None = None):
        self.checked: Counter[str] = Counter()  # invariant -> how often it was looked at
        self.largest_gap_ns = 0
        self._contract, self._times = contract, times or Times()
        self._watched = Watched()
        self._last: Command | None = None
        self._gap_reported = False
        self._pose: Pose | None = None
        self._foreign: set[int] = set()  # stamps of poses that faults sent
        self._arrived: dict[type, int] = {}  # kind of input -> newest arrival
        self._stamps: dict[type, int] = {}  # kind of input -> newest stamp
        self._answers: deque[int] = deque(maxlen=200)  # stamps that the policy has answered, newest last
        self._unusable_since: int | None = None
        self._estop_since: int | None = None
        self._double: dict[str, int] = {}  # topic -> since when it has a second publisher
        # commands in spite of a second publisher of a topic, and since when there is one
        self._suspects: deque[tuple[Command, str, int]] = deque()
        self._inherited: set[str] = set()  # topics whose second publisher may be one that died before the arbiter began
        self._operator: deque[Operator] = deque(maxlen=400)
        self._line_s = 0.0  # largest delay of the arbiter's line
        self._moves_since: int | None = None  # first of the newest commands that know a moving operator
        # commands of an arbiter that has no sample, or one that a fault stamped 0; and the motion that it missed
        self._stamped_0: deque[tuple[Command, Operator]] = deque()

    def on_event(self, event: Event) -> Iterator[Violation]:
        """Takes an event; yields what it shows to be violated."""
        before = self._watched.pid
        self._watched.on_event(event)
        if isinstance(event, Command):
            yield from self._command(event)
        elif isinstance(event, Now):
            yield from self._silence(event.t)
        elif isinstance(event, Arbiter):
            if event.pid != before or not event.runs:
                self._last, self._gap_reported = None, False
            # what an arbiter does not know yet it cannot react to
            if event.pid != before:
                self._arrived.clear()
                self._stamps.clear()
                self._operator.clear()
                self._stamped_0.clear()
                self._inherited.update(_OWN, self._double)
                self._double.clear()
                self._pose = self._unusable_since = self._estop_since = self._moves_since = None
        elif isinstance(event, Estop):
            self._estop_since = (self._estop_since or event.t) if event.stop else None
        elif isinstance(event, Publishers):
            if event.count <= 1:
                self._double.pop(event.topic, None)
                self._inherited.discard(event.topic)
            elif event.topic not in self._inherited:
                self._double.setdefault(event.topic, event.t)
        elif isinstance(event, LineDelay):
            self._line_s = event.s
        elif isinstance(event, ForeignPose):
            self._foreign.add(event.stamp)
        elif isinstance(event, Operator | Chunk | Pose):
            self._input(event)
        yield from self._confirmed(event.t)

    def _confirmed(self, now: int) -> Iterator[Violation]:
        """Commands whose excuse has not turned up a while later: a publisher gone, a sample on its way to here."""
        self._suspects = deque(suspect for suspect in self._suspects if self._double.get(suspect[1]) == suspect[2])
        while self._suspects and now - self._suspects[0][0].t > self._times.gone_s * NANOSECONDS:
            command, topic, since = self._suspects.popleft()
            text = f"{topic} has had two publishers for {(command.t - since) / 1e9:.2f} s"
            yield _violation(command, "hold_in_time", text)
        if not self._stamped_0:
            return
        last_0 = max((sample.t for sample in self._operator if sample.stamp == 0), default=-1)
        self._stamped_0 = deque((command, missed) for command, missed in self._stamped_0 if missed.t > last_0)
        while self._stamped_0 and now - self._stamped_0[0][0].t > self._times.gone_s * NANOSECONDS:
            command, missed = self._stamped_0.popleft()
            yield _violation(command, "operator_first", _moved_for(command, missed))

    def _input(self, event: Operator | Chunk | Pose) -> None:
        self._arrived[type(event)] = event.t
        if isinstance(event, Operator):
            self._stamps[Operator] = max(event.stamp, self._stamps.get(Operator, 0))
            self._operator.append(event)
        elif isinstance(event, Chunk):
            self._stamps[Chunk] = max(event.observation, self._stamps.get(Chunk, 0))
            self._answers.append(event.observation)
            self._unusable_since = None if event.usable else (self._unusable_since or event.t)
        else:
            self._stamps[Pose] = max(event.stamp, self._stamps.get(Pose, 0))
            self._pose = self._pose if event.stamp in self._foreign else event

    def _command(self, command: Command) -> Iterator[Violation]:
        last = self._last
        for name, check in (
            ("within_limits", self._limits(command, last)),
            ("no_gap", self._gap(command, last)),
            ("hold_in_time", self._hold(command, last)),
            ("operator_first", self._operator_first(command)),
        ):
            self.checked[name] += 1
            for text in check:
                yield _violation(command, name, text)
        self._last, self._gap_reported = command, False

    def _limits(self, command: Command, last: Command | None) -> Iterator[str]:
        limits, action, values = self._contract.limits, self._contract.action, command.values
        if len(values) != action.size or not all(map(math.isfinite, values)):
            yield f"values {values}"
            return
        for name, value, low, high in zip(action.names, values, action.low, action.high, strict=True):
            slack = _ROUNDING * (high - low)
            if not low - slack <= value <= high + slack:
                yield f"{name} = {value:.5g} is not in {low} .. {high}"
        period_s = self._contract.period_ns / NANOSECONDS
        for name, part, speed, rate in (
            ("linear", slice(0, 3), limits.linear_speed, limits.linear_acceleration),
            ("angular", slice(3, 6), limits.angular_speed, limits.angular_acceleration),
        ):
            if math.hypot(*values[part]) > speed * (1 + _ROUNDING):
                yield f"{name} speed {math.hypot(*values[part]):.5g} is above {speed}"
            if rate is not None and last is not None and command.tick == last.tick + 1:
                change = math.dist(values[part], last.values[part])
                # both were sent a little after they were decided
                elapsed_s = max(period_s, (command.t - last.t) / NANOSECONDS) + 0.01
                if change > rate * elapsed_s * (1 + _ROUNDING):
                    yield f"{name} speed changes by {change:.5g} in {elapsed_s:.3f} s, allowed is {rate} a second"
        for name, value, step in zip(action.names, values, limits.step or (), strict=False):
            if abs(value) * period_s > step * (1 + _ROUNDING):
                yield f"step of {name} is {abs(value) * period_s:.5g}, above {step}"
        yield from self._workspace(command)

    def _workspace(self, command: Command) -> Iterator[str]:
        if self._pose is None or command.t - self._pose.t > NANOSECONDS // 5:
            return
        limits = self._contract.limits
        for axis, place, value, low, high in zip(
            "xyz", self._pose.position, command.values, limits.workspace_low, limits.workspace_high, strict=False
        ):
            if (place > high + 0.01 and value > 1e-3) or (place < low - 0.01 and value < -1e-3):
                yield f"{axis} = {place:.4g} m is outside of {low} .. {high}, and the command {value:.4g} leads on"

    def _gap(self, command: Command, last: Command | None) -> Iterator[str]:
        if last is None or command.tick <= last.tick or self._gap_reported:
            return
        if self._watched.runs_since is None:
            return
        # messages between the two may have been lost on their way here
        begun = max(last.t, self._watched.runs_since)
        gap_ns = (command.t - begun) // (command.tick - last.tick)
        own_ns = gap_ns - self._watched.starved_ns(begun)
        self.largest_gap_ns = max(self.largest_gap_ns, own_ns)
        if own_ns > self._times.gap_s * NANOSECONDS:
            yield f"{gap_ns / 1e6:.0f} ms after the command before, {own_ns / 1e6:.0f} of them with a processor"

    def _silence(self, now: int) -> Iterator[Violation]:
        if self._last is None or self._gap_reported:
            return
        # messages may be on their way
        if self._watched.is_due(self._last.t, self._times.gap_s + 1.0, now):
            self._gap_reported = True
            yield Violation(now, "no_gap", f"no command for {(now - self._last.t) / 1e9:.2f} s")

    def _hold(self, command: Command, last: Command | None) -> Iterator[str]:
        if command.source == HOLD:
            return
        times, max_age_ns = self._times, round(self._contract.max_age_s * NANOSECONDS)

        def is_due(since: int | None, after_s: float = 0.0) -> bool:
            return since is not None and self._watched.is_due(since, after_s + times.hold_s, command.t)

        if is_due(self._estop_since):
            yield "an emergency stop is requested"
        for topic, since in self._double.items():
            if is_due(since, times.publisher_check_s):
                self._suspects.append((command, topic, since))
        # a stamp that has not been seen here proves that the arbiter has received more than the observer
        if command.observation <= self._stamps.get(Pose, command.observation) and is_due(
            self._arrived.get(Pose), self._contract.max_age_s
        ):
            yield f"no ee_pose for {(command.t - self._arrived[Pose]) / 1e9:.2f} s"
        if command.stamp - command.observation > max_age_ns:
            yield f"its observation is {(command.stamp - command.observation) / 1e9:.2f} s old"
        if last is not None and command.tick == last.tick + 1 and command.stamp < last.stamp:
            yield f"time went back by {(last.stamp - command.stamp) / 1e9:.3f} s"
        if (
            command.source == HUMAN
            and command.operator <= self._stamps.get(Operator, command.operator)
            and is_due(self._arrived.get(Operator), times.operator_stale_s)
        ):
            yield f"no sample of the operator for {(command.t - self._arrived[Operator]) / 1e9:.2f} s"
        if command.source != POLICY:
            return
        if command.chunk <= self._stamps.get(Chunk, command.chunk) and is_due(
            self._arrived.get(Chunk), times.policy_silent_s
        ):
            yield f"no answer of the policy for {(command.t - self._arrived[Chunk]) / 1e9:.2f} s"
        if command.chunk in self._answers and is_due(self._unusable_since):
            yield "the policy's answer is a fault or not finite"
        if command.stamp - command.chunk > max_age_ns:
            yield f"its chunk's observation is {(command.stamp - command.chunk) / 1e9:.2f} s old"

    def _operator_first(self, command: Command) -> Iterator[str]:
        samples = self._operator
        known = next((n for n in range(len(samples) - 1, -1, -1) if samples[n].stamp == command.operator), None)
        # a stamp that has not been seen here is of a sample that is on its way to the observer
        if known is None or not samples[known].acts:
            self._moves_since = None
        elif self._moves_since is None:
            self._moves_since = command.t
        if command.source != POLICY:
            return
        if self._moves_since is not None and self._watched.is_due(self._moves_since, self._times.yield_s, command.t):
            yield f"it has known for {(command.t - self._moves_since) / 1e9:.2f} s that the operator moves"
        first = 0 if command.operator == 0 and known is None else known
        if first is None:
            return
        missed = next((sample for sample in islice(samples, first, None) if sample.acts), None)
        # simulated time is as late as the samples are: no stamp shows their delay
        if missed is None or not self._watched.is_due(missed.t, self._times.receive_s + self._line_s, command.t):
            return
        if command.operator == 0:
            self._stamped_0.append((command, missed))
        else:
            yield _moved_for(command, missed)
