from dataclasses import dataclass

import pytest

rclpy = pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from rclpy.node import Node  # noqa: E402

from apo_core.config.parameters import parameter  # noqa: E402
from apo_core.errors import ConfigError  # noqa: E402
from apo_core.ros.parameters import declare, warn_of_unknown  # noqa: E402


@dataclass(frozen=True)
class Pump:
    rate_hz: float = parameter(20.0, "strokes a second", low=1.0, high=100.0)
    strokes: int = parameter(3, "strokes a run", low=1, high=10)
    mode: str = parameter("soft", "how", choices=("soft", "hard"))
    valves: tuple[str, ...] = parameter(("a", "b"), "which")


@dataclass(frozen=True)
class Extra:
    extra: int = parameter(0, "of another part of the node")


@pytest.fixture
def make_node():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=99)
    nodes = []

    def make(**values) -> Node:
        overrides = [rclpy.Parameter(name, value=value) for name, value in values.items()]
        nodes.append(Node("pump", context=context, parameter_overrides=overrides))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_values_come_from_the_overrides(make_node):
    assert declare(make_node(rate_hz=5.0, mode="hard", valves=["c"]), Pump) == Pump(5.0, 3, "hard", ("c",))


def test_parameters_are_described_ranged_and_read_only(make_node):
    node = make_node()
    declare(node, Pump)
    descriptor = node.describe_parameter("rate_hz")
    assert descriptor.description == "strokes a second" and descriptor.read_only
    assert (descriptor.floating_point_range[0].from_value, descriptor.floating_point_range[0].to_value) == (1.0, 100.0)
    assert node.describe_parameter("strokes").integer_range[0].to_value == 10
    assert node.describe_parameter("mode").additional_constraints == "one of soft, hard"
    assert not node.set_parameters([rclpy.Parameter("strokes", value=4)])[0].successful


def test_a_name_that_the_node_does_not_have_is_reported(make_node, capfd):
    node = make_node(stroke=5, mode="hard", use_sim_time=True, extra=1)
    declare(node, Pump)
    declare(node, Extra)
    warn_of_unknown(node)
    logged = capfd.readouterr().err
    assert "stroke is not a parameter of node 'pump' and has no effect, did you mean strokes?" in logged
    assert logged.count("has no effect") == 1


def test_every_fault_is_listed(make_node):
    with pytest.raises(ConfigError) as caught:
        declare(make_node(rate_hz=1000.0, strokes="many"), Pump)
    assert len(caught.value.faults) == 2
    assert "config/pump.yaml" in str(caught.value)


def test_choices_are_checked(make_node):
    with pytest.raises(ConfigError, match="mode = 'loud' is not one of"):
        declare(make_node(mode="loud"), Pump)
