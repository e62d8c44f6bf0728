"""Parsers, exit status and errors that all groups of command line tools share."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence

from apo_core.errors import ApoError

Option = Callable[[argparse.ArgumentParser], None]  # adds an argument


class ToolParser:
    """The argument parser of a group of tools.

    Args:
        prog: what is typed before the name of a tool.
        description: of the group, in lines as they are shown.
    """

    def __init__(self, prog: str, description: str):
        self.root = argparse.ArgumentParser(
            prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        self._tools = self.root.add_subparsers(dest="tool", required=True, metavar="TOOL")

    def add(
        self,
        name: str,
        run: Callable[[argparse.Namespace], int],
        text: str,
        details: str = "",
        options: Sequence[Option] = (),
    ) -> argparse.ArgumentParser:
        """A tool with `options`, each of which adds an argument; `text` is shown in the list, `details` after it."""
        made = self._tools.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {details}".strip())
        made.set_defaults(run=run)
        for option in options:
            option(made)
        return made


def number(kind: type[int] | type[float], low: float, high: float = math.inf) -> Callable[[str], float]:
    """A type of argparse: a number of `kind` from `low` to `high`, both included."""

    def read(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            limits = f"at least {low}" if high == math.inf else f"{low} .. {high}"
            raise argparse.ArgumentTypeError(f"{text} must be {limits}")
        return value

    read.__name__ = kind.__name__  # argparse names it for a text that is not a number
    return read


def json_option(of: argparse.ArgumentParser) -> None:
    """Adds --json, without which a tool prints text for people."""
    of.add_argument("--json", action="store_true", help="print JSON, for programs")


def run_tool(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Runs the tool that the arguments name; an error goes to stderr and the exit status is 2.

    Args:
        parser: leaves the tool's name in `tool` and its function, arguments -> exit status, in `run`.
        argv: None takes those of the process.
    """
    arguments = parser.parse_args(argv)
    try:
        status = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, such as `head`, closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ApoError, OSError) as error:
        print(f"{parser.prog} {arguments.tool}: {error}", file=sys.stderr)
        return 2
