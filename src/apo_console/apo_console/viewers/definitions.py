"""The text of a ROS message type as MCAP's schema encoding `ros2msg` takes it, made from its Python class.

Wheels of ROS have no .msg files, so the class is what every installation has.
Format: https://mcap.dev/spec/registry#ros2msg.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_SEPARATOR = "=" * 80
_PRIMITIVES = {"boolean": "bool", "octet": "byte", "float": "float32", "double": "float64"}
_SEQUENCE = re.compile(r"sequence<(?P<element>.+?)(?:, (?P<limit>\d+))?>")
_ARRAY = re.compile(r"(?P<element>.+)\[(?P<size>\d+)\]")
_BOUNDED_TEXT = re.compile(r"(?P<kind>w?string)<(?P<limit>\d+)>")


def definition(name: str, class_of: Callable[[str], type]) -> str:
    """The definition of a type, followed by those of all types inside it.

    Args:
        name: `package/msg/Type`.
        class_of: the message class of such a name.
    """
    texts = {name: ""}
    waiting = [name]
    while waiting:
        current = waiting.pop(0)
        lines = []
        for field, kind in class_of(current).get_fields_and_field_types().items():  # type: ignore[attr-defined]
            written, inner = _field_type(kind)
            lines.append(f"{written} {field}")
            if inner and inner not in texts:
                texts[inner] = ""
                waiting.append(inner)
        texts[current] = "\n".join(lines) + "\n"
    parts = [texts.pop(name)]
    parts += [f"MSG: {inner.replace('/msg/', '/')}\n{text}" for inner, text in texts.items()]
    return f"{_SEPARATOR}\n".join(parts)


def _field_type(kind: str) -> tuple[str, str]:
    """A field type of the class as .msg files write it, and the message type inside it (empty: none)."""
    suffix = ""
    if found := _SEQUENCE.fullmatch(kind):
        kind, suffix = found["element"], f"[<={found['limit']}]" if found["limit"] else "[]"
    elif found := _ARRAY.fullmatch(kind):
        kind, suffix = found["element"], f"[{found['size']}]"
    if "/" in kind:
        package, _, type_name = kind.partition("/")
        return kind + suffix, f"{package}/msg/{type_name}"
    if found := _BOUNDED_TEXT.fullmatch(kind):
        kind = f"{found['kind']}<={found['limit']}"
    return _PRIMITIVES.get(kind, kind) + suffix, ""
