"""Messages between page and server: binary for what comes often, JSON for the rest. Pure.

Little-endian. From the page: input, answers to round-trip requests, frames that were shown. To the page: camera frames.
"""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass
from typing import Any

LARGEST, LARGEST_BINARY = 32768, 64  # bytes of a request of a page, and of a binary message
_INPUT, _PONG, _SHOWN, _FRAME, _PING = 1, 2, 3, 4, 5
_INPUT_LAYOUT = struct.Struct("<BI6fB")  # kind, sequence, axes, flags
_PONG_LAYOUT = struct.Struct("<BI")  # kind, number
_SHOWN_LAYOUT = struct.Struct("<BBBI")  # kind, robot, camera, sequence
_FRAME_LAYOUT = struct.Struct("<BBBIq")  # kind, robot, camera, sequence, stamp in ns
_HELD = 1

# action -> {field: type} of what a page may request; every field must be there
ACTIONS: dict[str, dict[str, type]] = {
    "lease": {"take_over": bool},
    "release": {"reason": str},
    "event": {"name": str},
    "estop": {},
    "clear": {},
    "hand_back": {},
    "enable": {"value": bool},
    "start_episode": {"instruction": str},
    "end_episode": {"outcome": str},
    "undo_last": {},
    "train": {},
    "cancel_training": {},
    "promote": {"version": int, "reason": str},
    "roll_back": {"reason": str},
    "annotate": {"episode": str, "outcome": str, "note": str},
    "discard_episode": {"episode": str},
    "restore_episode": {"episode": str},
    "export": {"episodes": list, "format": str},
}
_TEXT = 500  # characters of a field
_LIST = 1000  # texts of a field
_LARGEST_ROBOT = 255
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # not every message and log holds them


class ProtocolError(ValueError):
    """A message that no page of this server sends."""


@dataclass(frozen=True, slots=True)
class Input:
    """A sample of a page's device."""

    sequence: int
    axes: tuple[float, ...]  # (6,) vx vy vz wx wy wz, share of full deflection
    held: bool  # the operator has not let go


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a request for the round trip."""

    number: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A camera frame is on the screen."""

    robot: int
    camera: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Request:
    """Something that a person wants."""

    number: int  # of the page's requests, in the answer
    robot: int  # which of the console's robots
    action: str  # one of ACTIONS
    fields: dict[str, Any]


def read_binary(data: bytes) -> Input | Pong | Shown:
    """A binary message of a page.

    Raises:
        ProtocolError: unknown kind, wrong length, numbers that are not finite.
    """
    try:
        kind = data[0]
        if kind == _INPUT:
            _, sequence, *axes, flags = _INPUT_LAYOUT.unpack(data)
            if not all(map(math.isfinite, axes)):
                raise ProtocolError("input is not finite")
            return Input(sequence, tuple(axes), bool(flags & _HELD))
        if kind == _PONG:
            return Pong(_PONG_LAYOUT.unpack(data)[1])
        if kind == _SHOWN:
            return Shown(*_SHOWN_LAYOUT.unpack(data)[1:])
    except (IndexError, struct.error) as error:
        raise ProtocolError(f"binary message of {len(data)} bytes: {error}") from None
    raise ProtocolError(f"binary message of kind {data[0]}")


def read_text(text: str) -> Request:
    """A request in JSON: `{"number": 1, "robot": 0, "action": "lease", "take_over": false}`.

    Raises:
        ProtocolError: no JSON object, an unknown action, missing, further or wrong fields.
    """
    if len(text) > LARGEST:
        raise ProtocolError(f"request of {len(text)} characters, at most {LARGEST}")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"request is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise ProtocolError("request is no object")
    number, robot, action = (content.pop(name, None) for name in ("number", "robot", "action"))
    if not _is_count(number) or not _is_count(robot) or robot > _LARGEST_ROBOT:
        raise ProtocolError("request without a number and a robot")
    if not isinstance(action, str) or action not in ACTIONS:
        raise ProtocolError(f"unknown action {str(action)[:40]!r}")
    wanted = ACTIONS[action]
    if set(content) != set(wanted):
        raise ProtocolError(f"{action} has the fields {sorted(wanted)}")
    for name, kind in wanted.items():
        if not _is_valid(content[name], kind):
            raise ProtocolError(f"{action}: {name} is not a valid {kind.__name__}")
    return Request(number, robot, action, content)


def _is_valid(value: Any, kind: type) -> bool:
    if type(value) is not kind:
        return False
    if isinstance(value, list):
        return len(value) <= _LIST and all(_is_valid(item, str) for item in value)
    if isinstance(value, str):
        return len(value) <= _TEXT and _UNPRINTABLE.search(value) is None
    return kind is not int or _is_count(value)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 32


def ping(number: int) -> bytes:
    """A request for the round trip; the page answers with the same number."""
    return _PONG_LAYOUT.pack(_PING, number & 0xFFFFFFFF)


def frame(robot: int, camera: int, sequence: int, stamp_ns: int, jpeg: bytes) -> bytes:
    """A camera frame.

    Args:
        robot, camera: places in the lists of the state.
        sequence: counts the frames of that camera.
        stamp_ns: of the image's header, ROS time.
        jpeg: the picture.
    """
    return _FRAME_LAYOUT.pack(_FRAME, robot, camera, sequence & 0xFFFFFFFF, stamp_ns) + jpeg
