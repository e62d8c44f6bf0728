import pytest
import yaml

from apo_core.config.rcl_yaml import parse_yaml, read_yaml
from apo_core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("2E3", 2000.0),
        ("-1.5e+2", -150.0),
        ("0.25", 0.25),
        ("3.", 3.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("12", 12),
        ("-3", -3),
        ("0x10", 16),
        ("007", 7),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("14:00", "14:00"),
        ("1:30.5", "1:30.5"),
        ("2026-01-31", "2026-01-31"),
        ("1e", "1e"),
        ("e5", "e5"),
        ("192.168.0.1", "192.168.0.1"),
        ("'1e-4'", "1e-4"),
        ("on", True),
        ("~", None),
        ("[1, 2e0]", [1, 2.0]),
        ("", None),
    ],
)
def test_values_are_those_of_rcl(text, value):
    assert (parse_yaml(text), type(parse_yaml(text))) == (value, type(value))


def test_not_a_number_is_read():
    assert str(parse_yaml(".nan")) == "nan"


@pytest.mark.parametrize("text", ["speed: 1\nspeed: 2", "a: {b: 1, 'b': 2}", "- {x: 1, y: 2, x: 3}"])
def test_a_key_that_is_there_twice_is_rejected(text):
    with pytest.raises(yaml.YAMLError, match="twice"):
        parse_yaml(text)


def test_merged_keys_may_be_given_again():
    text = "base: &b {x: 1, y: 2}\none: &o {<<: *b, x: 3}\ntwo: {<<: *o, y: 4}"
    assert parse_yaml(text) == {"base": {"x": 1, "y": 2}, "one": {"x": 3, "y": 2}, "two": {"x": 3, "y": 4}}


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"a: [1", "while parsing a flow sequence"),
        (b"a: \xff", "utf-8"),
        (b"a: 1\na: 2", "found 'a' twice"),
        (b"[" * 5000, "nested too deeply"),
        (b"!!int x", "not of the type of its tag"),
        (b"!!timestamp x", "not of the type of its tag"),
        (b"!!python/object:os.system {}", "could not determine a constructor"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, data, fault):
    (tmp_path / "robot.yaml").write_bytes(data)
    with pytest.raises(ConfigError, match=fault) as caught:
        read_yaml(tmp_path / "robot.yaml")
    assert caught.value.source == str(tmp_path / "robot.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read_yaml(tmp_path / "robot.yaml")
