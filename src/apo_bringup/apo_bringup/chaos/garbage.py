"""Messages that no sound node sends: of the right type with wrong content, or with bytes that are no message. Pure.

Works on any message class through `get_fields_and_field_types`; needs no ROS itself.
"""

from __future__ import annotations

import contextlib
import math
import random
import re
from collections.abc import Iterator
from typing import Any

_SEQUENCE = re.compile(r"sequence<(?P<item>[\w/]+)(, \d+)?>|(?P<fixed>[\w/]+)\[(?P<size>\d+)\]")
_INTEGERS = {f"{sign}int{bits}": (bits, sign == "") for sign in ("", "u") for bits in (8, 16, 32, 64)}
_FLOATS = {"float": 3.0e38, "float32": 3.0e38, "double": 1.0e308, "float64": 1.0e308}
_TEXTS = ("", "base", "world", "\u202e\u0001 frame", "x" * 10_000, "../../etc/passwd", "%s%n", "POLICY", "LOADED")
_LARGE = 20_000  # items of a sequence that is too long
FOREIGN = "chaos"  # reason of a command that a fault sends


def is_usable(chunk: Any) -> bool:
    """Whether an apo_interfaces/ActionChunk has actions, all finite, and no fault."""
    return not chunk.fault and len(chunk.values) > 0 and all(map(math.isfinite, chunk.values))


def extreme(kind: str, rng: random.Random) -> Any:
    """A value at or beyond what the type's users expect.

    Args:
        kind: a type as messages name it, no sequence and no message.
        rng: draws it.
    """
    if kind == "boolean":
        return rng.random() < 0.5
    if kind in _FLOATS:
        largest = _FLOATS[kind]
        return rng.choice((math.nan, math.inf, -math.inf, 0.0, -0.0, largest, -largest, 1e-40, rng.uniform(-10, 10)))
    if kind in _INTEGERS:
        bits, signed = _INTEGERS[kind]
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        return rng.choice((low, high, 0, 1, rng.randint(low, high)))
    if kind in ("octet", "byte", "char"):
        return bytes([rng.randrange(256)]) if kind != "char" else rng.randrange(256)
    return rng.choice(_TEXTS)


def fill(message: Any, rng: random.Random) -> None:
    """Replaces every field, at any depth, by an extreme value; sequences become empty, short or long."""
    for name, kind in message.get_fields_and_field_types().items():
        found = _SEQUENCE.fullmatch(kind)
        if found is None:
            _set(message, name, kind, rng)
            continue
        item = found["item"] or found["fixed"]
        size = int(found["size"] or rng.choice((0, 1, 7, rng.randrange(100), _LARGE)))
        if "/" in item or found["fixed"]:
            continue  # messages in sequences stay as they are
        if item in _INTEGERS or item in _FLOATS:
            value = extreme(item, rng)
            with contextlib.suppress(AssertionError, OverflowError, ValueError):
                setattr(message, name, [value] * size)
        elif item == "string":
            setattr(message, name, [rng.choice(_TEXTS) for _ in range(min(size, 50))])


def _set(message: Any, name: str, kind: str, rng: random.Random) -> None:
    value = getattr(message, name)
    if hasattr(value, "get_fields_and_field_types"):
        fill(value, rng)
        return
    # a message class rejects what its type cannot hold
    with contextlib.suppress(AssertionError, OverflowError, ValueError, TypeError):
        setattr(message, name, extreme(kind.partition("<")[0], rng))


def leaves(message: Any) -> Iterator[tuple[Any, str, str]]:
    """(owner, field, type) of every field that is no message, at any depth."""
    for name, kind in message.get_fields_and_field_types().items():
        value = getattr(message, name)
        if hasattr(value, "get_fields_and_field_types"):
            yield from leaves(value)
        elif isinstance(value, list) and value and hasattr(value[0], "get_fields_and_field_types"):
            for item in value[:3]:
                yield from leaves(item)
        else:
            yield message, name, kind


def mutate(message: Any, rng: random.Random) -> None:
    """Makes one field of a sound message an extreme one, or an item of a sequence."""
    fields = list(leaves(message))
    if not fields:
        return
    owner, name, kind = rng.choice(fields)
    found = _SEQUENCE.fullmatch(kind)
    if found is None:
        _set(owner, name, kind, rng)
        return
    values = list(getattr(owner, name))
    item = found["item"] or found["fixed"]
    if values and rng.random() < 0.6:
        values[rng.randrange(len(values))] = extreme(item, rng)
    elif values and not found["fixed"]:
        values = values[: rng.randrange(len(values))] if rng.random() < 0.5 else values * 2
    with contextlib.suppress(AssertionError, OverflowError, ValueError, TypeError):
        setattr(owner, name, values)


def spoil_numbers(message: Any, rng: random.Random) -> None:
    """Makes every floating-point value of a sound message not finite."""
    bad = rng.choice((math.nan, math.inf, -math.inf))
    for owner, name, kind in list(leaves(message)):
        if kind in _FLOATS:
            setattr(owner, name, bad)
            continue
        found = _SEQUENCE.fullmatch(kind)
        if found and (found["item"] or found["fixed"]) in _FLOATS:
            setattr(owner, name, [bad] * len(getattr(owner, name)))


def mangled(data: bytes, rng: random.Random) -> bytes:
    """A serialized message that is cut, has changed bytes, or claims long sequences."""
    changed = bytearray(data)
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(changed[: rng.randrange(4, max(5, len(changed)))])
    if kind == 1:
        return bytes(changed[:4]) + rng.randbytes(rng.choice((0, 1, 16, 200)))
    if kind == 2 and len(changed) > 12:
        at = rng.randrange(4, len(changed) - 4)
        changed[at : at + 4] = b"\xff\xff\xff\x7f"
        return bytes(changed)
    for _ in range(rng.randrange(1, 8)):
        if len(changed) > 4:
            changed[rng.randrange(4, len(changed))] = rng.randrange(256)
    return bytes(changed)
