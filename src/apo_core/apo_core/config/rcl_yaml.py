"""Reads YAML as rcl does, so that a file means the same with and without ROS."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from apo_core.errors import ConfigError

_FLOAT = re.compile(
    r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_INT = re.compile(r"[-+]?(?:0[0-7]*|[1-9][0-9]*|0x[0-9a-fA-F]+)")
_REPLACED = ("float", "int", "timestamp")


class _Loader(yaml.SafeLoader):
    """1e-4 is a number, 14:00 and 2026-01-31 are texts; YAML 1.1 reads them the other way round. No key may repeat."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.composer.ComposerError(
                    "while reading a mapping", node.start_mark, f"found {key.value!r} twice", key.start_mark
                )
            seen.add(key.value)
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _firsts in (("float", _FLOAT, "-+0123456789."), ("int", _INT, "-+0123456789")):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern.pattern})$"), list(_firsts))


def parse_yaml(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        yaml.YAMLError: not YAML, or a key is there twice.
    """
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None
    except (ValueError, AttributeError):  # PyYAML raises them for `!!int x` and `!!timestamp x`
        raise yaml.YAMLError("a value is not of the type of its tag") from None


def read_yaml(path: Path | str) -> Any:
    """The value of a YAML file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return parse_yaml(Path(path).read_text())
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise ConfigError(str(path), [f"cannot be read: {error}"]) from None
