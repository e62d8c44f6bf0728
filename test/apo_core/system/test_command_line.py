"""What every group of tools shares."""

import argparse

import pytest

from apo_core.errors import ApoError
from apo_core.system.command_line import number, run_tool


def parser(run) -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="apo things")
    root.add_subparsers(dest="tool", required=True).add_parser("count").set_defaults(run=run)
    return root


def test_the_tools_status_is_returned():
    assert run_tool(parser(lambda arguments: 1), ["count"]) == 1


@pytest.mark.parametrize("error", [ApoError("rate_hz = 0"), OSError("rate_hz = 0")])
def test_an_error_names_the_tool_and_gives_status_2(capsys, error):
    def fail(arguments):
        raise error

    assert run_tool(parser(fail), ["count"]) == 2
    assert capsys.readouterr().err == "apo things count: rate_hz = 0\n"


@pytest.mark.parametrize(
    ("kind", "low", "high", "text", "message"),
    [
        (int, 1, 9, "0", "0 must be 1 .. 9"),
        (int, 1, 9, "10", "10 must be 1 .. 9"),
        (float, 0, 1, "nan", "nan must be 0 .. 1"),
        (int, 1, float("inf"), "-3", "-3 must be at least 1"),
        (int, 1, 9, "two", "invalid int value: 'two'"),
    ],
)
def test_a_number_beyond_its_limits_is_rejected(capsys, kind, low, high, text, message):
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rows", type=number(kind, low, high))
    with pytest.raises(SystemExit):
        arguments.parse_args([f"--rows={text}"])
    assert f"argument --rows: {message}" in capsys.readouterr().err


def test_a_number_within_its_limits_is_taken():
    assert (number(int, 1, 9)("9"), number(float, 0)("0.25")) == (9, 0.25)
