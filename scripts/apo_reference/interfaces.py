"""Finds topics and services in the syntax trees of the nodes, without importing them.

A use is a call, tuple or dictionary entry in which a message or service type stands beside the name of a topic or
service: `create_publisher(Bool, "estop", COMMANDS)`, `(Bool, "estop", self._on_estop)`, `{"arbiter/enable": SetBool}`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PUBLISHES, SUBSCRIBES, SERVES, CALLS = "publishes", "subscribes", "serves", "calls"
_NODE_SUFFIX = "_node"
_VARIANTS = {"operator": "teleop", "scripted_operator": "teleop"}  # modules of a node that has another name
_IMPORT = re.compile(r"^from \w+\.(msg|srv) import", re.M)


@dataclass(frozen=True, slots=True)
class Use:
    """One topic or service in one module."""

    role: str
    name: str  # relative to the namespace of the nodes
    type: str  # package/msg/Name
    qos: str  # name of the profile in apo_core.ros.qos; empty for a service
    module: str  # package/module.py


def uses_in(source: Path) -> list[Use]:
    """Every use under a folder of packages (src/), sorted."""
    files = (file for file in source.glob("*/*/**/*.py") if _IMPORT.search(file.read_text()))
    found = {use for file in files for use in _Module(file, source).uses()}
    return sorted(found, key=lambda use: (use.name, use.role, use.module))


def profiles(file: Path) -> dict[str, str]:
    """Name -> reliability, durability and depth of the QoS profiles that a module assigns to names."""
    found = {}
    for statement in ast.parse(file.read_text()).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            settings = {each.arg: each.value for each in statement.value.keywords}
            words = [_policy(settings.get("reliability"), "reliable"), _policy(settings.get("durability"), "volatile")]
            found[ast.unparse(statement.targets[0])] = ", ".join([*words, f"depth {ast.unparse(settings['depth'])}"])
    return found


def node_of(stem: str) -> str:
    """Name of the node in a module `<stem>.py`."""
    name = stem.removesuffix(_NODE_SUFFIX)
    return _VARIANTS.get(name, name)


def _policy(expression: ast.expr | None, default: str) -> str:
    name = expression.attr if isinstance(expression, ast.Attribute) else default
    return name.lower().replace("_", " ")


class _Module:
    def __init__(self, file: Path, source: Path):
        self._tree = ast.parse(file.read_text())
        self._module = "/".join(file.relative_to(source).parts[1:])
        self._node = node_of(file.stem)
        self._types: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        for statement in ast.walk(self._tree):
            if isinstance(statement, ast.ImportFrom) and statement.module:
                package, _, kind = statement.module.partition(".")
                if kind in ("msg", "srv"):
                    for alias in statement.names:
                        self._types[alias.asname or alias.name] = f"{package}/{kind}/{alias.name}"
            elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
                self._texts[ast.unparse(statement.targets[0])] = str(statement.value.value)

    def uses(self) -> Iterator[Use]:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                yield from self._use(function, node.args)
            elif isinstance(node, ast.Tuple):
                yield from self._use("", node.elts)
            elif isinstance(node, ast.Dict):
                # of a table name -> type only services: message types have kinds of outputs as keys
                for key, value in zip(node.keys, node.values, strict=True):
                    if key is not None and "/srv/" in self._type(value):
                        yield from self._use("", [value, key])

    def _use(self, function: str, parts: Sequence[ast.expr]) -> Iterator[Use]:
        for i, part in enumerate(parts):
            kind = self._type(part)
            if not kind:
                continue
            near = [*parts[i + 1 : i + 2], *parts[max(i - 1, 0) : i]]
            name = next((text for text in map(self._text, near) if text), "")
            if name and "{" not in name:
                yield Use(self._role(function, kind), self._resolve(name), kind, self._qos(kind, parts), self._module)

    def _type(self, expression: ast.expr) -> str:
        return self._types.get(expression.id, "") if isinstance(expression, ast.Name) else ""

    def _text(self, expression: ast.expr) -> str:
        if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
            return expression.value
        return self._texts.get(expression.id, "") if isinstance(expression, ast.Name) else ""

    def _resolve(self, name: str) -> str:
        return f"{self._node}/{name[2:]}" if name.startswith("~/") else name

    @staticmethod
    def _role(function: str, kind: str) -> str:
        if "/srv/" in kind:
            return SERVES if function == "create_service" else CALLS
        return PUBLISHES if function in ("create_publisher", "_publisher") else SUBSCRIBES

    @staticmethod
    def _qos(kind: str, parts: Sequence[ast.expr]) -> str:
        if "/srv/" in kind:
            return ""
        names = [part.id for part in parts if isinstance(part, ast.Name)]
        return next((name for name in names if name in ("COMMANDS", "LATCHED")), "")
