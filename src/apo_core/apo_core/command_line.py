"""What every group of command line tools shares."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from apo_core.errors import ApoError


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
    except BrokenPipeError:  # the reader, `head` for one, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ApoError, OSError) as error:
        print(f"{parser.prog} {arguments.tool}: {error}", file=sys.stderr)
        return 2
