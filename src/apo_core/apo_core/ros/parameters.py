"""Declares a configuration dataclass as described, ranged ROS parameters and reads it back."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from apo_core.config.parameters import Dataclass, build, parameter_fields
from apo_core.errors import ConfigError

T = TypeVar("T", bound=Dataclass)


def _descriptor(spec: dataclasses.Field[Any], annotation: object) -> ParameterDescriptor:
    meta = spec.metadata
    descriptor = ParameterDescriptor(description=meta.get("description", ""), read_only=True)
    low, high = meta.get("low"), meta.get("high")
    if low is not None and high is not None:
        if annotation is int:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=0)]
        elif annotation is float:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
            ]
    if meta.get("choices"):
        descriptor.additional_constraints = f"one of {', '.join(map(str, meta['choices']))}"
    return descriptor


def declare(node: Node, cls: type[T]) -> T:
    """Declares every parameter of `cls` and its groups, read-only, and returns the checked values.

    Raises:
        ConfigError: every parameter with a wrong type or out of its range.
    """
    values, faults = {}, []
    for name, (spec, annotation) in parameter_fields(cls).items():
        default = spec.default if spec.default_factory is dataclasses.MISSING else spec.default_factory()
        if isinstance(default, tuple):
            default = list(default)
        try:
            values[name] = node.declare_parameter(name, default, _descriptor(spec, annotation)).value
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            faults.append(f"{name}: {error}")
    where = f"parameters of node '{node.get_name()}' (config/{node.get_name()}.yaml or the launch arguments)"
    if faults:
        raise ConfigError(where, faults)
    return build(cls, values, where)


def warn_of_unknown(node: Node) -> None:
    """Logs which values were given under names that the node, which has declared all its parameters, does not have.

    No error, since a section for all nodes of a parameter file may be meant for others.
    """
    given = sorted(node._parameter_overrides)  # rclpy has no public way to ask
    for name in given:
        if node.has_parameter(name) or name.startswith("qos_overrides."):
            continue
        close = difflib.get_close_matches(name, node.get_parameters_by_prefix(""), 1)
        hint = f", did you mean {close[0]}?" if close else ""
        node.get_logger().warning(f"{name} is not a parameter of node {node.get_name()!r} and has no effect{hint}")
