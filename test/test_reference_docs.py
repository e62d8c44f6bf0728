"""Generated files: config/*.yaml and the reference pages."""

import re
from pathlib import Path

import pytest

from apo_core.config.parameters import load, parameter_fields
from apo_core.config.rcl_yaml import parse_yaml
from apo_reference.__main__ import out_of_date
from apo_reference.config_files import FILES
from apo_reference.interfaces import PUBLISHES, SERVES, Use, profiles, uses_in
from apo_reference.yaml_text import file_text, scalar

ROOT = Path(__file__).parents[1]


def test_generated_files_match_the_code():
    assert list(out_of_date(ROOT)) == [], "run: make reference"


def test_changed_and_missing_files_are_out_of_date(tmp_path):
    for folder in ("src", "config"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    stale = out_of_date(tmp_path)
    assert stale and all(path.startswith("docs/reference/") for path in stale)
    (tmp_path / "docs/reference").mkdir(parents=True)
    for path, text in stale.items():
        (tmp_path / path).write_text(text)
    assert out_of_date(tmp_path) == {}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_parameter_file_holds_and_loads_every_parameter(file):
    whole = max((section.config for section in file.sections), key=lambda config: len(parameter_fields(config)))
    values = parse_yaml(file_text(file))[file.node]["ros__parameters"]
    assert set(values) == set(parameter_fields(whole))
    load(whole, ROOT / file.path, file.node.rpartition("/")[2])
    expected = {name: file.values.get(name, spec.default) for name, (spec, _) in parameter_fields(whole).items()}
    assert {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()} == expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_table_values_and_notes_are_of_existing_names(file):
    parameters = {each.name: each for section in file.sections for each in section.parameters()}
    assert set(file.values) <= set(parameters)
    items = [item for each in parameters.values() if isinstance(each.default, tuple) for item in each.default]
    for note in file.notes:
        assert note in parameters or any(item.startswith(note) for item in items), note
    for name, value in file.values.items():
        assert value != parameters[name].default, f"{name} is the default"


@pytest.mark.parametrize("value", [True, 0, 1e-4, -60.0, "", "lift the cube", "true", "0", "a: b", "-1", "~/x", "#"])
def test_a_scalar_keeps_value_and_type(value):
    read = parse_yaml(f"x: {scalar(value)}")["x"]
    assert read == value and type(read) is type(value)


def test_uses_are_found_in_calls_tuples_and_tables(tmp_path):
    folder = tmp_path / "pkg" / "pkg"
    folder.mkdir(parents=True)
    (folder / "pkg_node.py").write_text(
        "from std_msgs.msg import Bool\nfrom std_srvs.srv import Trigger\n_STOP = 'stop'\n"
        "node.create_publisher(Bool, 'a', LATCHED)\nsubscribe(node, Bool, _STOP, call)\n"
        "wanted = [(Bool, 'b', call, COMMANDS)]\n"
        "node.create_service(Trigger, '~/run', call)\nkinds = {'x/y': Trigger}\n_KINDS = {'twist': Bool}\n"
    )
    found = {(use.role, use.name, use.qos) for use in uses_in(tmp_path)}
    assert found == {
        ("publishes", "a", "LATCHED"),
        ("subscribes", "stop", ""),
        ("subscribes", "b", "COMMANDS"),
        ("serves", "pkg/run", ""),
        ("calls", "x/y", ""),
    }


def test_interfaces_of_the_nodes_are_found():
    uses = uses_in(ROOT / "src")
    module = "apo_teleop/arbiter_node.py"
    assert Use(PUBLISHES, "command", "apo_interfaces/msg/ActionCommand", "COMMANDS", module) in uses
    assert Use(SERVES, "arbiter/clear", "std_srvs/srv/Trigger", "", module) in uses


def test_every_message_and_service_is_published_or_served():
    uses = {use.type.rpartition("/")[2] for use in uses_in(ROOT / "src") if use.role in (PUBLISHES, SERVES)}
    files = {file.stem: file for file in (ROOT / "src/apo_interfaces").glob("*/*.[ms][sr][gv]")}
    parts = {kind for file in files.values() for kind in re.findall(r"^(\w+)\[\] ", file.read_text(), re.M)}
    assert set(files) <= uses | parts


def test_each_use_of_a_qos_profile_is_of_a_known_one():
    known = profiles(ROOT / "src/apo_core/apo_core/ros/qos.py")
    assert known == {
        "COMMANDS": "reliable, volatile, depth 50",
        "LATCHED": "reliable, transient local, depth 1",
    }


def test_topic_page_lists_every_field_once():
    text = (ROOT / "docs/reference/topics.md").read_text()
    for file in (ROOT / "src/apo_interfaces").glob("*/*.[ms][sr][gv]"):
        section = text.partition(f"### {file.stem}\n")[2].partition("\n### ")[0]
        for name in re.findall(r"^[\w/\[\]]+ +(\w+)", file.read_text(), re.M):
            assert f"| `{name}" in section, (file.name, name)
