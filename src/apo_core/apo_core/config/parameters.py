"""Configuration dataclasses read from the ROS parameter files under config/, with or without ROS."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import yaml

from apo_core.config.rcl_yaml import parse_yaml, read_yaml
from apo_core.errors import ConfigError


class Dataclass(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


T = TypeVar("T", bound=Dataclass)


def parameter(
    default: Any,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | None = None,
) -> Any:
    """A dataclass field that is also a ROS parameter: description, inclusive range, allowed values."""
    metadata = {"description": description, "low": low, "high": high, "choices": choices}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def group(cls: type[T]) -> T:
    """A dataclass field that holds another configuration; its parameters stand beside the others, not prefixed."""
    return dataclasses.field(default_factory=cls, metadata={"group": cls})


def parameter_fields(cls: type[Dataclass]) -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    """Name -> field and type of every parameter of a configuration class, those of its groups included, in order."""
    hints = typing.get_type_hints(cls)
    found: dict[str, tuple[dataclasses.Field[Any], Any]] = {}
    for spec in dataclasses.fields(cls):
        if "group" in spec.metadata:
            found |= parameter_fields(spec.metadata["group"])
        else:
            found[spec.name] = (spec, hints[spec.name])
    return found


def parameter_values(config: Dataclass) -> dict[str, Any]:
    """Name -> value of every parameter of a configuration, those of its groups included, in order."""
    found: dict[str, Any] = {}
    for spec in dataclasses.fields(config):
        value = getattr(config, spec.name)
        found |= parameter_values(value) if "group" in spec.metadata else {spec.name: value}
    return found


def _coerce(value: Any, annotation: Any) -> Any:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return value
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if tuple in (origin, annotation) and isinstance(value, list | tuple):
        element = (*typing.get_args(annotation), None)[0]
        return tuple(_coerce(item, element) for item in value)
    return value


def _faults(spec: dataclasses.Field, value: Any, annotation: Any) -> list[str]:
    meta, name = spec.metadata, spec.name
    expected = typing.get_origin(annotation) or annotation
    if isinstance(expected, type) and (
        not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool)
    ):
        return [f"{name} = {value!r} must be of type {expected.__name__}"]
    faults, element = [], typing.get_args(annotation) if expected is tuple else ()
    if element and element[-1] is not Ellipsis and len(value) != len(element):
        faults.append(f"{name} = {value!r} must hold {len(element)} values")
    if element and not all(isinstance(item, element[0]) for item in value):
        return [*faults, f"{name} = {value!r} must hold values of type {element[0].__name__}"]
    items, shown = (value, list(value)) if isinstance(value, tuple) else ((value,), value)
    if any(isinstance(item, float) and not math.isfinite(item) for item in items):
        faults.append(f"{name} = {shown} must be finite")
    if meta.get("low") is not None and any(item < meta["low"] for item in items):
        faults.append(f"{name} = {shown} is below its limit {meta['low']}")
    if meta.get("high") is not None and any(item > meta["high"] for item in items):
        faults.append(f"{name} = {shown} is above its limit {meta['high']}")
    if meta.get("choices") and value not in meta["choices"]:
        faults.append(f"{name} = {value!r} is not one of {list(meta['choices'])}")
    return faults


def declared_faults(config: Dataclass) -> list[str]:
    """What the declarations rule out of a configuration that was made in code; each of its groups checks itself."""
    hints = typing.get_type_hints(type(config))
    own = [spec for spec in dataclasses.fields(config) if "group" not in spec.metadata]
    return [fault for spec in own for fault in _faults(spec, getattr(config, spec.name), hints[spec.name])]


def build(cls: type[T], values: dict[str, Any], source: str) -> T:
    """Makes a `cls` from `values`, checking every field.

    Raises:
        ConfigError: unknown names, wrong types, values out of range; all of them at once.
    """
    specs = parameter_fields(cls)
    faults = [f"{name} is not a parameter; known: {', '.join(specs)}" for name in values if name not in specs]
    checked = {}
    for name, (spec, annotation) in specs.items():
        if name not in values:
            continue
        value = _coerce(values[name], annotation)
        faults += _faults(spec, value, annotation)
        checked[name] = value
    if faults:
        raise ConfigError(source, faults)
    try:
        return _make(cls, checked)
    except ConfigError as error:
        raise ConfigError(source, error.faults) from None


def _make(cls: type[T], values: dict[str, Any]) -> T:
    """Makes a `cls` and its groups from checked values of both."""
    arguments, faults = {}, []
    for spec in dataclasses.fields(cls):
        if "group" in spec.metadata:
            try:
                arguments[spec.name] = _make(spec.metadata["group"], values)
            except ConfigError as error:
                faults += error.faults
        elif spec.name in values:
            arguments[spec.name] = values[spec.name]
    if faults:
        raise ConfigError("", faults)
    return cls(**arguments)


def ros_parameters(path: Path, node: str, namespace: str | None = None) -> dict[str, Any] | None:
    """The `ros__parameters` of `node` in a ROS 2 parameter file (keys `/**`, `/**/<node>` or the node's name).

    Args:
        path: of the file.
        node: name without namespace.
        namespace: of the node; None: any.

    Returns:
        Name -> value; None where the file has no section for the node.

    Raises:
        ConfigError: unreadable file.
    """
    merged: dict[str, Any] = {}
    found = False
    for name, values in sections(path).items():
        # `/**/policy` is the policy in any namespace
        *within, last = name.split("/")
        here = namespace is None or "**" in (*within, last) or within == [p for p in namespace.split("/") if p]
        if here and last in (node, "**"):
            merged.update(values)
            found = True
    return merged if found else None


def sections(path: Path) -> dict[str, dict[str, Any]]:
    """The sections of a ROS 2 parameter file: name of the node, with its namespace and without a leading /, -> values.

    Raises:
        ConfigError: unreadable file.
    """
    document = read_yaml(path)
    if not isinstance(document, dict | None):
        raise ConfigError(str(path), ["is not a ROS parameter file, which begins with names of nodes"])
    found: dict[str, dict[str, Any]] = {}
    _collect(document or {}, "", found)
    faults = [
        f"{name}: ros__parameters = {values!r} must hold names and values"
        for name, values in found.items()
        if not isinstance(values, dict)
    ]
    if faults:
        raise ConfigError(str(path), faults)
    return found


def _collect(document: dict[str, Any], within: str, found: dict[str, dict[str, Any]]) -> None:
    """A namespace may be written as part of a node's name, or as a level of its own."""
    for key, section in document.items():
        name = f"{within}/{str(key).strip('/')}".strip("/")
        if isinstance(section, dict) and "ros__parameters" in section:
            values = section["ros__parameters"]
            found[name] = {} if values is None else values
        elif isinstance(section, dict):
            _collect(section, name, found)


def read_ros_parameters(path: Path, node: str) -> dict[str, Any]:
    """See `ros_parameters`; a file without a section for the node is an error too.

    Raises:
        ConfigError: unreadable file or no section for the node.
    """
    found = ros_parameters(path, node)
    if found is None:
        raise ConfigError(str(path), [f"has no section '{node}: ros__parameters:'"])
    return found


def load(cls: type[T], path: Path, node: str, overrides: dict[str, Any] | None = None) -> T:
    """Reads `node`'s section of a ROS parameter file into a `cls`; `overrides` win.

    Raises:
        ConfigError: see `build` and `read_ros_parameters`.
    """
    values = {**read_ros_parameters(path, node), **(overrides or {})}
    values.pop("use_sim_time", None)
    return build(cls, values, str(path))


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """`name=value` texts, values in YAML.

    Raises:
        ConfigError: a text without `=` or with a broken value.
    """
    values, faults = {}, []
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            faults.append(f"--set {pair!r} must be name=value")
            continue
        try:
            values[name.strip()] = parse_yaml(text)
        except yaml.YAMLError as error:
            faults.append(f"--set {pair!r} has a value that is not YAML: {error}")
    if faults:
        raise ConfigError("command line", faults)
    return values
