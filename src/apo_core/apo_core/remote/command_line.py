"""Options, repetition and reports of the commands that bring something to or from a store."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from apo_core.remote.address import parse_options
from apo_core.remote.chunk_store import RemoteError, StoreError
from apo_core.remote.patience import Patience
from apo_core.system.command_line import number

URL = "of fsspec: a path, s3://bucket/folder, gs://..., ..."


def access_options(of: argparse.ArgumentParser) -> None:
    """Adds what every access to a store takes."""
    of.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the file system, e.g. endpoint_url=http://localhost:9000; repeat",
    )
    of.add_argument(
        "--patience",
        type=number(float, 0),
        default=300.0,
        metavar="S",
        help="seconds for which a failing access is tried again (default %(default)s)",
    )


def watch_option(of: argparse.ArgumentParser) -> None:
    """Adds --watch."""
    of.add_argument("--watch", type=number(float, 1), metavar="S", help="look again every S seconds, without an end")


def store_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What --option gives, for the file system. Raises StoreError."""
    try:
        return dict(parse_options(arguments.option))
    except ValueError as error:
        raise StoreError(f"--option {error}") from None


def patience_of(arguments: argparse.Namespace, prog: str) -> Patience:
    """The patience that --patience asks for; `prog` begins the reports."""

    def report(text: str) -> None:
        print(f"{prog} {arguments.tool}: {text}; trying again", file=sys.stderr, flush=True)

    return Patience(arguments.patience, time.monotonic, time.sleep, report)


class Rejections:
    """What is left out; each is named once, and again when the reason changes."""

    def __init__(self, prog: str):
        self._prog = prog
        self.reasons: dict[str, str] = {}

    def add(self, what: object, error: Exception) -> None:
        """Takes one, and why."""
        reason = str(error) if str(what) in str(error) else f"{what}: {error}"
        if self.reasons.get(str(what)) != reason:
            self.reasons[str(what)] = reason
            print(f"{self._prog}: {reason}", file=sys.stderr, flush=True)


def repeated(once: Callable[[], None], arguments: argparse.Namespace, prog: str, rejections: Rejections) -> int:
    """Once, or with --watch until an interrupt; then a store that fails is looked at again.

    Returns:
        The exit status: 2 where something was left out, 130 after an interrupt.
    """
    try:
        while True:
            try:
                once()
            except RemoteError as error:
                if not arguments.watch:
                    raise
                print(f"{prog} {arguments.tool}: {error}", file=sys.stderr, flush=True)
            if not arguments.watch:
                return 2 if rejections.reasons else 0
            time.sleep(arguments.watch)
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130
