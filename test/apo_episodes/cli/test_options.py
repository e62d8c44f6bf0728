import argparse
from dataclasses import fields

import pytest

from apo_episodes.cli.options import label_rule, link, output_folder, paths
from apo_episodes.labeling import LabelRule


def parse(add, *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add(parser)
    return parser.parse_args(arguments)


def test_every_field_of_a_label_rule_is_an_option():
    options = vars(parse(label_rule))
    assert set(options) == {field.name for field in fields(LabelRule)}
    assert LabelRule(**options) == LabelRule()


@pytest.mark.parametrize("name", [field.name for field in fields(LabelRule)])
def test_each_option_sets_its_field(name):
    value = {"failure_rule": "keep", "undesirable_rule": "stalled"}.get(name, 3)
    rule = LabelRule(**vars(parse(label_rule, f"--{name.replace('_', '-')}", str(value))))
    assert getattr(rule, name) == value
    assert type(getattr(rule, name)) is type(getattr(LabelRule(), name))


@pytest.mark.parametrize("arguments", [["--failure-rule", "guess"], ["--undesirable-steps", "1.5"]])
def test_other_values_are_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit):
        parse(label_rule, *arguments)
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize("add", [paths, output_folder])
def test_what_a_tool_works_on_is_required(add, capsys):
    with pytest.raises(SystemExit):
        parse(add)
    assert "required" in capsys.readouterr().err


def test_links_are_asked_for():
    assert (parse(link).link, parse(link, "--link").link) == (False, True)
