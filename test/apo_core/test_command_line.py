"""What every group of tools shares."""

import argparse

import pytest

from apo_core.command_line import run_tool
from apo_core.errors import ApoError


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
