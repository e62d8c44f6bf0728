"""`apo episodes push` and `pull`: episodes to and from a URL."""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path

from apo_core.remote.back_off import BackOff
from apo_core.remote.command_line import (
    URL,
    Rejections,
    access_options,
    patience_of,
    repeated,
    store_options,
    watch_option,
)
from apo_core.system.command_line import ToolParser
from apo_episodes.cli.options import paths
from apo_episodes.files import find_episodes
from apo_episodes.reader import list_episodes
from apo_episodes.remote.pull import Pulled, pull
from apo_episodes.remote.push import Pushed, push
from apo_episodes.remote.store import RemoteStore

_PROG = "apo episodes"


def add_transfers(tools: ToolParser) -> None:
    """Adds both commands."""
    to = tools.add(
        "push",
        _push,
        "bring episodes to a store: a folder, S3, ...",
        "Content that is there already is not sent again; stopped or killed at any time, the next push goes on. With "
        "--watch it stays and pushes what is recorded from then on.",
        [paths],
    )
    to.add_argument("--to", required=True, metavar="URL", help=URL)
    to.add_argument(
        "--robot", default=socket.gethostname(), metavar="NAME", help="that recorded them (default %(default)s)"
    )
    access_options(to)
    watch_option(to)
    from_ = tools.add(
        "pull",
        _pull,
        "bring the episodes of a store into a folder",
        "Each file is verified before it appears under its name. With --watch it stays and pulls what comes.",
    )
    from_.add_argument("url", metavar="URL", help=URL)
    from_.add_argument("--output", required=True, metavar="FOLDER", help="made when missing; what it has stays")
    from_.add_argument("--robot", nargs="+", default=[], metavar="NAME", help="whose episodes (default: all)")
    access_options(from_)
    watch_option(from_)


def _push(arguments: argparse.Namespace) -> int:
    store, rejections = RemoteStore(arguments.to, store_options(arguments)), Rejections(f"{_PROG} push")

    def once() -> None:
        files = _finished(arguments.paths) if arguments.watch else find_episodes(arguments.paths)
        totals = [0, 0]

        def report(done: Pushed) -> None:
            totals[0] += done.sent_bytes
            totals[1] += done.is_new
            if done.is_new or done.sent_bytes:
                print(f"{done.path}: {done.sent_bytes / 1e6:.1f} MB sent", flush=True)

        push(files, store, arguments.robot, patience_of(arguments, _PROG), report, rejections.add)
        if totals[1] or not arguments.watch:
            print(f"{totals[1]} of {len(files)} episodes were new, {totals[0] / 1e6:.1f} MB sent", flush=True)

    return repeated(once, arguments, _PROG, rejections)


def _pull(arguments: argparse.Namespace) -> int:
    store, folder = RemoteStore(arguments.url, store_options(arguments)), Path(arguments.output)
    rejections, rests = Rejections(f"{_PROG} pull"), BackOff()

    def once() -> None:
        found = [0, 0]

        def report(done: Pulled) -> None:
            found[0] += 1
            found[1] += done.is_new
            if done.is_new:
                print(f"{done.path}: {done.path.stat().st_size / 1e6:.1f} MB of {done.robot}", flush=True)
            if done.has_other_annotation:
                print(f"{done.path}: keeps its own annotation", file=sys.stderr)

        pull(store, folder, arguments.robot, patience_of(arguments, _PROG), report, rejections.add, rests)
        if found[1] or not arguments.watch:
            print(f"{found[1]} of {found[0]} episodes were new", flush=True)

    return repeated(once, arguments, _PROG, rejections)


def _finished(named: list[str]) -> list[Path]:
    """Episode files of folders and files, of which some may come later."""
    found: list[Path] = []
    for path in map(Path, named):
        found += list_episodes(path) if path.is_dir() else [path] if path.is_file() else []
    return found
