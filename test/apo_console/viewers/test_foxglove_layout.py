import json
import re

import pytest

from apo_console.viewers.foxglove_layout import foxglove_layout
from apo_console.viewers.streams import streams
from apo_core.contract.contract import load_contract

CONTRACT = load_contract("config/contract.yaml")


def placed(node) -> list[str]:
    return [node] if isinstance(node, str) else [*placed(node["first"]), *placed(node["second"])]


def paths(value) -> list[str]:
    """Everything in a layout that names a topic."""
    if isinstance(value, dict):
        return [path for part in value.values() for path in paths(part)]
    if isinstance(value, list):
        return [path for part in value for path in paths(part)]
    return [value] if isinstance(value, str) and value.startswith("/") else []


def test_every_panel_is_placed_once():
    layout = foxglove_layout(CONTRACT, "")
    assert sorted(placed(layout["layout"])) == sorted(layout["configById"])
    assert {"Image!agentview", "Image!wrist", "StateTransitions!control"} <= set(layout["configById"])
    assert json.loads(json.dumps(layout)) == layout


def test_panels_show_topics_that_are_served():
    for namespace in ("", "left"):
        served = {stream.name_in(namespace) for stream in streams(CONTRACT)}
        shown = {re.split(r"[.\[]", path)[0] for path in paths(foxglove_layout(CONTRACT, namespace)["configById"])}
        assert shown and shown <= served


def test_panels_show_fields_that_the_messages_have():
    subscriber = pytest.importorskip(
        "apo_core.ros.observation_subscriber",
        reason="ROS 2 is missing: run 'make setup' or source a ROS 2 installation",
    )
    types = {stream.name_in(""): stream.type for stream in streams(CONTRACT)}
    found = [path.partition(".") for path in paths(foxglove_layout(CONTRACT, "")["configById"]) if "." in path]
    assert len(found) > 10
    for topic, _, field in found:
        fields = subscriber.message_class(types[topic]).get_fields_and_field_types()
        assert field.partition("[")[0] in fields, (topic, field)


def test_the_plot_has_a_line_for_each_part_of_the_action():
    series = foxglove_layout(CONTRACT, "left")["configById"]["Plot!action"]["paths"]
    assert [(one["label"], one["value"]) for one in series[:2]] == [
        ("vx", "/left/command.values[0]"),
        ("vy", "/left/command.values[1]"),
    ]
    assert len(series) == 7
