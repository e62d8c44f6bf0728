"""Joystick, gamepad or spacenav behind a sensor_msgs/Joy topic. No ROS: messages are put in, samples come out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apo_core.config.parameters import parameter
from apo_core.contract.topic_names import topic_fault
from apo_core.errors import ConfigError
from apo_core.types import OperatorEvent
from apo_teleop.devices.device import DeviceSample, disconnected
from apo_teleop.devices.profiles import Profiles
from apo_teleop.devices.rest_gate import RestGate

_SETTLE_NS = 200_000_000
_QUEUE = 1000  # messages between two polls


@dataclass(frozen=True, slots=True)
class JoyConfig:
    """Which joystick; its axes and buttons are in ProfileConfig. Raises ConfigError with every fault found."""

    joy_preset: str = parameter("gamepad", "line of joy_presets, axis_maps and button_roles in use")
    joy_presets: tuple[str, ...] = parameter(
        ("spacenav: spacenav/joy 6 2.0", "gamepad: joy 6 0.0", "xpad: joy 8 0.0"),
        "name: topic, number of axes of its messages, s of zeros after which the operator rests (motion stops at once)",
    )
    joy_stale_s: float = parameter(
        0.2, "s after which a deflected joystick that sends nothing is lost, and a stamp is too old", low=0.01, high=5.0
    )
    joy_gone_s: float = parameter(
        1.0,
        "s of silence at rest after which a joystick that had repeated its messages is lost",
        low=0.1,
        high=60.0,
    )
    joy_same_s: float = parameter(
        10.0,
        "s of the very same messages while deflected after which a joystick is lost: drivers repeat the last message "
        "of one that is switched off or out of range; 0: never",
        low=0.0,
        high=600.0,
    )
    joy_ahead_s: float = parameter(0.1, "s that a stamp may lie ahead of this node's clock", low=0.0, high=5.0)

    def __post_init__(self) -> None:
        faults: list[str] = []
        names: list[str] = []
        for line in self.joy_presets:
            try:
                names.append(_preset(line).name)
            except ValueError as error:
                faults.append(f"joy_presets: {line!r} is not 'name: topic axes rest_s' ({error})")
        if self.joy_preset not in names:
            faults.append(f"joy_preset = {self.joy_preset!r} is not one of {names}")
        if faults:
            raise ConfigError("config/teleop.yaml", faults)

    @property
    def preset(self) -> JoyPreset:
        """The preset chosen."""
        return next(p for p in map(_preset, self.joy_presets) if p.name == self.joy_preset)


@dataclass(frozen=True, slots=True)
class JoyPreset:
    """A kind of publisher."""

    name: str
    topic: str
    size: int  # axes of a message
    rest_ns: int  # zeros that last this long are a rest; spacenav_node sends zeros while a deflected cap is still


@dataclass(frozen=True, slots=True)
class _Message:
    fault: tuple[str, str] | None  # kind and words; None: it counts
    stamp_ns: int = 0  # steady time of its header's stamp
    receive_ns: int = 0
    axes: tuple[float, ...] = ()
    buttons: tuple[int, ...] = ()


class JoyDevice:
    """Checks each message and keeps the newest. `put` and `publishers` may be used from another thread.

    A rejected message disconnects the device, as silence and a second publisher do: the operator's action is then
    unknown, but an emergency stop always counts. It comes back with the next good message,
    and moves once it has been at rest.

    Args:
        config, profiles: limits, axis map and button roles.
        rest: share of full deflection up to which an axis is at rest.
        acts: share beyond which it moves the robot.

    Raises:
        ConfigError: the preset has no axis map.
    """

    def __init__(self, config: JoyConfig, profiles: Profiles, rest: float = 0.06, acts: float = 0.12):
        self.preset = config.preset
        if not profiles.has(self.preset.name):
            raise ConfigError("config/teleop.yaml", [f"axis_maps has no line for joy_preset = {self.preset.name}"])
        self.name = f"joystick ({self.preset.name})"
        self.problem = f"no message on {self.preset.topic} yet"
        self.publishers = 1  # on the topic
        self._profile = profiles.get(self.preset.name, self.preset.size)
        self._stale_ns, self._ahead_ns = round(config.joy_stale_s * 1e9), round(config.joy_ahead_s * 1e9)
        self._gone_ns, self._same_ns = round(config.joy_gone_s * 1e9), round(config.joy_same_s * 1e9)
        self._queue: deque[_Message] = deque(maxlen=_QUEUE)
        self._gate = RestGate(rest, max(_SETTLE_NS, self.preset.rest_ns))
        self._last: _Message | None = None  # None: not connected
        self._buttons: dict[int, int] = {}
        self._axes = np.zeros(6)
        self._deflected_ns: int | None = None
        self._held = self._was_open = False
        self._gone_reported = False
        self._repeats = False  # what it sends, also at rest
        self._acts, self._changed_ns = acts, 0  # arrival of the first message that is as the newest
        self._lost_by = ""

    def put(self, stamp_ns: int, ros_ns: int, steady_ns: int, axes: Sequence[float], buttons: Sequence[int]) -> None:
        """A message has arrived.

        Args:
            stamp_ns: of its header, ROS time.
            ros_ns, steady_ns: both clocks now.
            axes, buttons: its content.
        """
        self.publishers = max(self.publishers, 1)
        fault = self._fault(ros_ns - stamp_ns, stamp_ns, axes)
        if fault:
            self._queue.append(_Message(fault, buttons=tuple(buttons)))
        else:
            stamp_steady_ns = steady_ns - max(0, ros_ns - stamp_ns)
            self._queue.append(_Message(None, stamp_steady_ns, steady_ns, tuple(axes), tuple(buttons)))

    def poll(self, now_ns: int) -> DeviceSample | None:
        """See Device."""
        events, news = [], False
        while self._queue:
            message = self._queue.popleft()
            if message.fault:
                was_connected, (kind, words) = self._last is not None, message.fault
                self._lose(kind, f"message rejected: {words}")
                events += self._stops(message)
                if was_connected:
                    break  # a loss is reported before what came after it
                continue
            news = True
            events += self._take(message)
        if self.publishers != 1 and self._last is not None:
            self._lose("publishers", f"{self.publishers} publishers on {self.preset.topic}")
        if self._last is not None and self._is_stale(self._last, now_ns):
            silent_s = (now_ns - self._last.receive_ns) * 1e-9
            how = "deflected" if self._is_driving() else "at rest"
            self._lose("silent", f"silent for {silent_s:.2f} s while {how} (its autorepeat rate must be above 0)")
        same_ns = now_ns - self._changed_ns
        if self._last is not None and self._same_ns and same_ns > self._same_ns and self._moves():
            limit = f"joy_same_s = {self._same_ns * 1e-9:g}"
            self._lose("same", f"the same message for {same_ns * 1e-9:.1f} s while deflected, {limit}")
        if self._last is None:
            reported, self._gone_reported = self._gone_reported, True
            return None if reported and not events else disconnected(now_ns, events)
        return self._sample(self._last, now_ns, tuple(events), news)

    def close(self) -> None:
        """See Device."""

    def _fault(self, age_ns: int, stamp_ns: int, axes: Sequence[float]) -> tuple[str, str] | None:
        clocks = "do both nodes have the same use_sim_time?"
        if self.publishers > 1:
            return "publishers", f"{self.publishers} publishers on {self.preset.topic}"
        if len(axes) != self.preset.size:
            wanted = f"preset {self.preset.name} has {self.preset.size} (joy_presets)"
            return "size", f"{len(axes)} axes, {wanted}"
        if not np.all(np.isfinite(axes)):
            return "finite", f"axes {list(axes)} are not finite"
        if stamp_ns == 0:
            return "stamp", "its header has no stamp"
        if -age_ns > self._ahead_ns:
            return "ahead", f"stamp {-age_ns * 1e-9:.3f} s ahead (joy_ahead_s; {clocks})"
        if age_ns > self._stale_ns:
            return "old", f"stamp {age_ns * 1e-9:.3f} s old (joy_stale_s; {clocks})"
        return None

    def _take(self, message: _Message) -> list[OperatorEvent]:
        """Keeps a good message; returns the roles of the buttons pressed by it."""
        before, self._last, self._gone_reported = self._last, message, False
        first = before is None
        # a publisher that sends the same again repeats; one that sends changes alone may be silent at rest
        if before is not None and (before.axes, before.buttons) == (message.axes, message.buttons):
            self._repeats |= message.receive_ns - before.receive_ns <= self._gone_ns
        else:
            self._changed_ns = message.receive_ns
        pressed = []
        # spacenav_node sends a button only when it changes: one that is missing is as before
        for index, value in enumerate(message.buttons):
            role = self._profile.role(str(index))
            is_pressed = value and not self._buttons.get(index)
            if is_pressed and (not first or role is OperatorEvent.ESTOP):
                pressed.append(role)
            self._buttons[index] = int(bool(value))
        self._axes = self._profile.axes.apply(message.axes, self._buttons)
        if self._gate.is_deflected(self._axes):
            self._deflected_ns = message.receive_ns
        return pressed

    def _stops(self, message: _Message) -> list[OperatorEvent]:
        """The emergency stop, if a button of a rejected message asks for it."""
        roles = (self._profile.roles.get(str(index)) for index, value in enumerate(message.buttons) if value)
        return [OperatorEvent.ESTOP] * (OperatorEvent.ESTOP in roles)

    def _lose(self, kind: str, problem: str) -> None:
        if self._last is not None or kind != self._lost_by:
            self.problem = problem  # else it is reported already, with other figures
        self._last, self._deflected_ns, self._held, self._lost_by = None, None, False, kind
        self._buttons.clear()
        self._gate.reset()

    def _is_stale(self, last: _Message, now_ns: int) -> bool:
        silent_ns = now_ns - last.receive_ns
        return silent_ns > self._stale_ns if self._is_driving() else self._repeats and silent_ns > self._gone_ns

    def _moves(self) -> bool:
        return self._gate.is_open and bool(np.max(np.abs(self._axes)) > self._acts)

    def _is_driving(self) -> bool:
        return self._held or self._gate.is_deflected(self._axes)

    def _sample(
        self, last: _Message, now_ns: int, events: tuple[OperatorEvent, ...], news: bool
    ) -> DeviceSample | None:
        deflected = self._gate.is_deflected(self._axes)
        self._gate.update(now_ns, self._axes)
        waits = deflected and not self._gate.is_open
        self.problem = "waits: it is deflected, let go of it once (or is it another preset?)" if waits else ""
        moved_ns = self._deflected_ns if self._gate.is_open else None
        held = moved_ns is not None and not deflected and now_ns - moved_ns < self.preset.rest_ns
        changed = held != self._held or self._gate.is_open != self._was_open
        self._held, self._was_open = held, self._gate.is_open
        if not (news or changed):
            return None
        axes = self._axes.copy() if self._gate.is_open else np.zeros(6)
        return DeviceSample(last.stamp_ns, True, axes, events, held)


def _preset(line: str) -> JoyPreset:
    """Raises ValueError for another form than `name: topic axes rest_s`."""
    name, _, rest = line.partition(":")
    topic, size, rest_s = rest.split()
    if not name.strip() or int(size) < 1 or not 0.0 <= float(rest_s) <= 3600.0:
        raise ValueError("a name, at least 1 axis and 0 to 3600 s are needed")
    if fault := topic_fault(topic):
        raise ValueError(f"{topic!r} {fault}")
    return JoyPreset(name.strip(), topic, int(size), round(float(rest_s) * 1e9))
