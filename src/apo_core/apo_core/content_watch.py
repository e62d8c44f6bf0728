"""Content that stays the same while the arm moves: a frozen or repeated picture, a state that no longer changes. Pure.

The stamps of such a stream are fresh, so no age limit finds it. Whether the arm moves is taken from what else is known:
the measured pose, the measured joints, the commands. A still scene before a still arm is no fault.
"""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from apo_core.actions import ANGULAR, GRIPPER, LINEAR, SIZE, TWIST
from apo_core.contract.contract import Contract
from apo_core.contract.specs import StateSpec
from apo_core.rotations import turn_between
from apo_core.types import Observation

FROZEN = "frozen content: "  # begins the policy's fault by which the arbiter finds its reason
MOVED_M = 0.05  # way of the arm after which content must have changed
MOVED_RAD = 0.3  # the same of a turn, and of a joint
MIN_SAMPLES = 10  # observations in a row with old content
_PICTURES = 1000  # distinct pictures kept: one of them is old content, a camera never gives the same twice
_HASHED_BYTES = 1 << 20  # of a picture at most, by leaving out rows; an arm that moves changes more than the others
_GAP_NS = 1_000_000_000  # between observations: another episode
_GRIPPER_HELD_S = 2.0  # a command of the gripper after which it must have moved
_ARM_JOINTS = 4  # a JointState of as many is the arm's
_GRIPPERS = re.compile("gripper|finger|hand|width|claw|jaw", re.IGNORECASE)
_KINDS = ("pose", "joints", "commands")


@dataclass(frozen=True, slots=True)
class Frozen:
    """A stream whose content does not change."""

    name: str  # camera or state key
    first: int  # observation with its last new content, counted by `add` from 0
    count: int  # observations since then, that one included
    text: str  # for people

    @property
    def last(self) -> int:
        """The newest observation."""
        return self.first + self.count - 1


class _Stream:
    """What one stream has shown.

    Args:
        history: contents before, of which any is old.
        evidence: kinds of motion that must change it.
    """

    def __init__(self, history: int, evidence: Sequence[str]):
        self._history, self.evidence = history, evidence
        self._seen: OrderedDict[int, None] = OrderedDict()
        self.old = 0  # observations in a row with old content
        self.shown: set[int] = set()  # since the last that was new
        self.anchor: dict[str, np.ndarray] = {}  # the motion then
        self.moved: dict[str, float] = {}  # the farthest from it, by kind
        self.turned: dict[str, float] = {}

    def add(self, digest: int, motion: Mapping[str, np.ndarray]) -> None:
        if digest in self._seen:
            self._seen.move_to_end(digest)
            self.old += 1
            self.shown.add(digest)
        else:
            self._seen[digest] = None
            if len(self._seen) > self._history:
                self._seen.popitem(last=False)
            self.old, self.shown, self.anchor, self.moved, self.turned = 0, {digest}, dict(motion), {}, {}
        for kind in self.evidence:
            if kind in self.anchor and kind in motion:
                moved, turned = _way(kind, self.anchor[kind], motion[kind])
                self.moved[kind] = max(self.moved.get(kind, 0.0), moved)  # in this order NaN changes nothing
                self.turned[kind] = max(self.turned.get(kind, 0.0), turned)


class ContentWatch:
    """Receives every observation and command, and names the streams that are frozen.

    Cameras, `ee_pose`, joint states of at least 4 joints (the arm's), and those of a gripper are watched; other state
    may stay as it is.

    Args:
        contract: streams, rate.
        moved_m: m that the arm moves without new content before a stream is frozen; 0: never.
    """

    def __init__(self, contract: Contract, moved_m: float = MOVED_M):
        self._contract, self._moved_m = contract, moved_m
        self._period_s = contract.period_ns * 1e-9
        self._topics = {spec.name: spec.topic for spec in contract.images}
        self._topics |= {spec.name: spec.topic for spec in contract.state}
        self._arm = [spec.name for spec in contract.state if _is_of_arm(spec)]
        positions = [spec.name for spec in contract.state if _is_of_arm(spec) and spec.field == "position"]
        self._positions = positions[0] if positions else ""
        self._grippers = [spec.name for spec in contract.state if _is_of_gripper(spec)]
        self._has_pose = "ee_pose" in self._topics
        self._count = 0
        self._stamp_ns: int | None = None
        self._restart()

    def _restart(self) -> None:
        self._streams = {spec.name: _Stream(_PICTURES, ("pose", "joints")) for spec in self._contract.images}
        if self._has_pose:
            self._streams["ee_pose"] = _Stream(1, ("joints", "commands"))
        for name in self._arm:
            self._streams[name] = _Stream(1, ("pose", "commands"))
        self._grips = {name: _Grip() for name in self._grippers}
        self._commanded = np.zeros(SIZE - 1)  # m, rad: the integral of the commands
        self._gripper: float | None = None
        self._blank: dict[str, str] = {}

    def command(self, values: np.ndarray) -> None:
        """The command (A,) of a tick, contract units."""
        if len(values) < SIZE or not np.isfinite(values).all():
            return
        self._commanded = self._commanded + np.asarray(values[TWIST], np.float64) * self._period_s
        self._gripper = float(values[GRIPPER])

    def add(self, observation: Observation) -> None:
        """The next observation."""
        self.add_parts(observation.stamp_ns, observation.images, observation.state)

    def add_parts(self, stamp_ns: int, images: Mapping[str, np.ndarray], state: Mapping[str, np.ndarray]) -> None:
        """The next observation: its ROS time, {camera: (H, W, C)} of any cameras, {key: (n,)}."""
        if self._stamp_ns is not None and not 0 <= stamp_ns - self._stamp_ns <= _GAP_NS:
            self._restart()
        self._stamp_ns = stamp_ns
        motion = {"commands": self._commanded}
        if self._has_pose:
            motion["pose"] = np.asarray(state["ee_pose"], np.float64)
        if self._positions:
            motion["joints"] = np.asarray(state[self._positions], np.float64)
        for name, image in images.items():
            self._streams[name].add(_digest(image), motion)
            self._blank[name] = _blank(image) if self._streams[name].old else ""
        for name in ("ee_pose", *self._arm):
            if name in self._streams:
                # NaN is another fault, and no sign of a stream that stands still
                is_new = not np.isfinite(state[name]).all()
                self._streams[name].add(-1 - self._count if is_new else _checksum(state[name]), motion)
        for name, grip in self._grips.items():
            grip.add(state[name], self._gripper, stamp_ns)
        self._count += 1

    def frozen(self) -> list[Frozen]:
        """The streams that show old content now."""
        if not self._moved_m:
            return []
        found = []
        for name, stream in self._streams.items():
            why = self._why(stream)
            if stream.old >= MIN_SAMPLES and why:
                found.append(self._frozen(name, stream.old, f"{self._what(name, stream)} while {why}"))
        for name, grip in self._grips.items():
            if grip.old:
                found.append(self._frozen(name, grip.old, "has not changed while the gripper was commanded to"))
        return found

    def faults(self) -> list[str]:
        """A line for each stream that is frozen now, with its topic."""
        return [
            f"topic {self._topics[each.name]} ('{each.name}'): for {each.count} observations it {each.text}"
            for each in self.frozen()
        ]

    def _frozen(self, name: str, count: int, what: str) -> Frozen:
        return Frozen(name, self._count - count - 1, count + 1, what)

    def _what(self, name: str, stream: _Stream) -> str:
        if name not in self._contract.image_names:
            return "has not changed"
        if self._blank.get(name):
            return f"shows a picture that is {self._blank[name]}"
        pictures = len(stream.shown)
        return "shows the same picture" if pictures == 1 else f"repeats its last {pictures} pictures"

    def _why(self, stream: _Stream) -> str:
        scale = self._moved_m / MOVED_M
        for kind in _KINDS:
            moved, turned = stream.moved.get(kind, 0.0), stream.turned.get(kind, 0.0)
            what = "the commands move it" if kind == "commands" else "the arm moved"
            if moved >= self._moved_m:
                return f"{what} {moved:.2f} m"
            if turned >= MOVED_RAD * scale:
                return f"{what} {turned:.2f} rad"
        return ""


class _Grip:
    """Whether a gripper that was opened or closed has moved."""

    def __init__(self) -> None:
        self._value: np.ndarray | None = None
        self._same = 0  # observations in a row
        self._sides: list[tuple[float, int]] = []  # (open or closed, since which ROS time) while the value is the same
        self._now_ns = 0

    def add(self, value: np.ndarray, gripper: float | None, now_ns: int) -> None:
        self._now_ns = now_ns
        if self._value is None or not np.array_equal(value, self._value):
            self._value, self._same, self._sides = (
                np.array(value),
                0,
                self._sides[-1:] and [(self._sides[-1][0], now_ns)],
            )
        else:
            self._same += 1
        if gripper and (not self._sides or self._sides[-1][0] != np.sign(gripper)):
            self._sides = [*self._sides[-1:], (float(np.sign(gripper)), now_ns)]

    @property
    def old(self) -> int:
        """Observations in a row that show no change though it was held open and closed; 0: nothing is wrong."""
        if len(self._sides) < 2 or self._same < MIN_SAMPLES:
            return 0
        (_, first_ns), (_, second_ns) = self._sides
        held_ns = min(2 * (second_ns - first_ns), self._now_ns - second_ns)
        return self._same if held_ns >= _GRIPPER_HELD_S * 1e9 else 0


def frozen_text(watch: ContentWatch) -> str:
    """The streams that are frozen now, in one line that begins with FROZEN; empty for none."""
    faults = watch.faults()
    return FROZEN + "; ".join(faults) if faults else ""


def _is_of_arm(spec: StateSpec) -> bool:
    return spec.type == "sensor_msgs/msg/JointState" and len(spec.joints) >= _ARM_JOINTS


def _is_of_gripper(spec: StateSpec) -> bool:
    if spec.type != "sensor_msgs/msg/JointState" or spec.field != "position" or _is_of_arm(spec):
        return False
    return any(_GRIPPERS.search(name) for name in (spec.name, *spec.joints))


def _digest(image: np.ndarray) -> int:
    return _checksum(image[:: -(-image.nbytes // _HASHED_BYTES)])


def _checksum(values: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(values).data)


def _blank(image: np.ndarray) -> str:
    """Which one value all pixels have, for people; empty if they differ."""
    low, high = int(image.min()), int(image.max())
    if low != high:
        return ""
    return "black" if not high else f"{high} in every pixel"


def _way(kind: str, start: np.ndarray, end: np.ndarray) -> tuple[float, float]:
    """m and rad between two places of the arm."""
    if kind == "joints":
        return 0.0, float(np.abs(end - start).max())
    moved = float(np.linalg.norm(end[LINEAR] - start[LINEAR]))
    if kind == "pose":
        return moved, float(np.linalg.norm(turn_between(start[3:7], end[3:7])))
    return moved, float(np.linalg.norm(end[ANGULAR] - start[ANGULAR]))
