from dataclasses import dataclass

import pytest

from apo_core.config.parameters import (
    build,
    declared_faults,
    group,
    load,
    parameter,
    parameter_fields,
    parameter_values,
    parse_overrides,
    read_ros_parameters,
    ros_parameters,
    sections,
)
from apo_core.errors import ConfigError


@dataclass(frozen=True)
class Pump:
    rate_hz: float = parameter(20.0, "strokes a second", low=1.0, high=100.0)
    strokes: int = parameter(3, "strokes a run", low=1, high=10)
    mode: str = parameter("soft", "how", choices=("soft", "hard"))
    wet: bool = parameter(True, "with water")
    valves: tuple[float, ...] = parameter((0.5, 1.0), "openings")


def test_defaults_are_used():
    assert build(Pump, {}, "pump.yaml") == Pump(20.0, 3, "soft", True, (0.5, 1.0))


def test_whole_numbers_serve_as_floats():
    pump = build(Pump, {"rate_hz": 5, "valves": [1, 0.25]}, "pump.yaml")
    assert pump.rate_hz == 5.0 and isinstance(pump.rate_hz, float)
    assert pump.valves == (1.0, 0.25) and all(isinstance(value, float) for value in pump.valves)


def test_every_fault_is_listed():
    with pytest.raises(ConfigError) as caught:
        build(Pump, {"rate_hz": 0.5, "strokes": 11, "mode": "loud", "wet": 1, "colour": "red"}, "pump.yaml")
    assert caught.value.source == "pump.yaml"
    assert caught.value.faults == [
        "colour is not a parameter; known: rate_hz, strokes, mode, wet, valves",
        "rate_hz = 0.5 is below its limit 1.0",
        "strokes = 11 is above its limit 10",
        "mode = 'loud' is not one of ['soft', 'hard']",
        "wet = 1 must be of type bool",
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"strokes": True},
        {"strokes": 2.0},
        {"rate_hz": float("nan")},
        {"rate_hz": "20"},
        {"mode": 3},
        {"valves": 0.5},
        {"valves": ["wide"]},
    ],
)
def test_wrong_types_are_rejected(values):
    with pytest.raises(ConfigError):
        build(Pump, values, "pump.yaml")


@dataclass(frozen=True)
class Range:
    share: tuple[float, float] = parameter((0.0, 1.0), "from, to", low=0.0, high=2.0)


@pytest.mark.parametrize(
    ("share", "fault"),
    [
        ([0.5, 2.5], "share = [0.5, 2.5] is above its limit 2.0"),
        ([-0.5, 1], "share = [-0.5, 1.0] is below its limit 0.0"),
        ([0.5], "share = (0.5,) must hold 2 values"),
        ([0.5, float("inf")], "share = [0.5, inf] must be finite"),
        ([0.5, "wide"], "share = (0.5, 'wide') must hold values of type float"),
    ],
)
def test_every_item_of_a_list_is_checked(share, fault):
    with pytest.raises(ConfigError) as caught:
        build(Range, {"share": share}, "pump.yaml")
    assert fault in caught.value.faults


def test_what_is_made_in_code_is_checked_by_its_declarations():
    assert declared_faults(Pump()) == declared_faults(Range((0.0, 2.0))) == []
    assert declared_faults(Pump(strokes=11, mode="loud")) == [
        "strokes = 11 is above its limit 10",
        "mode = 'loud' is not one of ['soft', 'hard']",
    ]


@dataclass(frozen=True, slots=True)
class Well:
    depth_m: float = parameter(5.0, "m", low=1.0, high=100.0)
    pump: Pump = group(Pump)


def test_parameters_of_a_group_stand_beside_the_others():
    assert list(parameter_fields(Well)) == ["depth_m", *parameter_fields(Pump)]
    assert build(Well, {"depth_m": 7, "strokes": 2}, "well.yaml") == Well(7.0, Pump(strokes=2))
    with pytest.raises(ConfigError) as caught:
        build(Well, {"depth_m": 0.5, "strokes": 11, "pump": 1}, "well.yaml")
    assert caught.value.faults == [
        "pump is not a parameter; known: depth_m, rate_hz, strokes, mode, wet, valves",
        "depth_m = 0.5 is below its limit 1.0",
        "strokes = 11 is above its limit 10",
    ]


def test_values_of_a_group_stand_beside_the_others():
    values = parameter_values(Well(7.0, Pump(strokes=2)))
    assert list(values) == list(parameter_fields(Well))
    assert (values["depth_m"], values["strokes"], values["valves"]) == (7.0, 2, (0.5, 1.0))
    assert build(Well, values, "well.yaml") == Well(7.0, Pump(strokes=2))


def test_faults_between_the_fields_of_every_group_are_listed():
    @dataclass(frozen=True, slots=True)
    class Valve:
        low: float = parameter(0.0, "lower end")
        high: float = parameter(1.0, "upper end")

        def __post_init__(self):
            if self.low >= self.high:
                raise ConfigError("valve.yaml", [f"low = {self.low} must be below high = {self.high}"])

    @dataclass(frozen=True, slots=True)
    class Plant:
        valve: Valve = group(Valve)
        pump: Pump = group(Pump)

    with pytest.raises(ConfigError, match=r"low = 2.0 must be below high = 1.0") as caught:
        build(Plant, {"low": 2.0}, "plant.yaml")
    assert caught.value.source == "plant.yaml"


@pytest.mark.parametrize("key", ["pump", "/**", "/**/pump", "/pump"])
def test_section_of_a_node_is_found(tmp_path, key):
    path = tmp_path / "pump.yaml"
    path.write_text(f"{key}:\n  ros__parameters:\n    strokes: 7\n")
    assert read_ros_parameters(path, "pump") == {"strokes": 7}


def test_a_namespace_may_be_a_level_of_its_own(tmp_path):
    path = tmp_path / "pump.yaml"
    path.write_text("yard:\n  well:\n    pump:\n      ros__parameters: {strokes: 7}\n  /**:\n    ros__parameters:\n")
    assert sections(path) == {"yard/well/pump": {"strokes": 7}, "yard/**": {}}
    assert ros_parameters(path, "pump", "yard/well") == {"strokes": 7}


def test_overrides_win_and_sim_time_is_no_parameter(tmp_path):
    path = tmp_path / "pump.yaml"
    path.write_text("pump:\n  ros__parameters: {strokes: 7, mode: hard, use_sim_time: true}\n")
    assert load(Pump, path, "pump", {"strokes": 2}) == Pump(strokes=2, mode="hard")


@pytest.mark.parametrize(
    "text", ["other:\n  ros__parameters: {}\n", "", "pump: [1", "pump: 3", "pump:\n  ros__parameters: 3\n"]
)
def test_unusable_files_are_named(tmp_path, text):
    path = tmp_path / "pump.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"pump\.yaml"):
        load(Pump, path, "pump")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load(Pump, tmp_path / "absent.yaml", "pump")


def test_overrides_are_read_as_yaml():
    assert parse_overrides(["steps=5", "learning_rate=1e-4", "method=kto", "share_human = 0.5"]) == {
        "steps": 5,
        "learning_rate": 1e-4,
        "method": "kto",
        "share_human": 0.5,
    }


def test_broken_overrides_are_all_named():
    with pytest.raises(ConfigError) as caught:
        parse_overrides(["steps", "seed=1", "views=["])
    assert [fault.splitlines()[0] for fault in caught.value.faults] == [
        "--set 'steps' must be name=value",
        "--set 'views=[' has a value that is not YAML: while parsing a flow node",
    ]
