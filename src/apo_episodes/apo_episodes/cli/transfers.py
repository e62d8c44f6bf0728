"""`apo episodes push` and `pull`: episodes to and from a URL."""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from apo_core.errors import EpisodeToolError
from apo_core.system.command_line import ToolParser, number
from apo_episodes.cli.options import paths
from apo_episodes.files import find_episodes
from apo_episodes.reader import list_episodes
from apo_episodes.remote.patience import Patience
from apo_episodes.remote.pull import Pulled, pull
from apo_episodes.remote.push import Pushed, push
from apo_episodes.remote.store import RemoteError, RemoteStore

_URL = "of fsspec: a path, s3://bucket/folder, gs://..., ..."


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
    to.add_argument("--to", required=True, metavar="URL", help=_URL)
    to.add_argument(
        "--robot", default=socket.gethostname(), metavar="NAME", help="that recorded them (default %(default)s)"
    )
    _shared(to)
    from_ = tools.add(
        "pull",
        _pull,
        "bring the episodes of a store into a folder",
        "Each file is verified before it appears under its name. With --watch it stays and pulls what comes.",
    )
    from_.add_argument("url", metavar="URL", help=_URL)
    from_.add_argument("--output", required=True, metavar="FOLDER", help="made when missing; what it has stays")
    from_.add_argument("--robot", nargs="+", default=[], metavar="NAME", help="whose episodes (default: all)")
    _shared(from_)


def _shared(of: argparse.ArgumentParser) -> None:
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
    of.add_argument("--watch", type=number(float, 1), metavar="S", help="look again every S seconds, without an end")


def _push(arguments: argparse.Namespace) -> int:
    store, rejections = _store(arguments.to, arguments), _Rejections("push")

    def once() -> None:
        files = _finished(arguments.paths) if arguments.watch else find_episodes(arguments.paths)
        totals = [0, 0]

        def report(done: Pushed) -> None:
            totals[0] += done.sent_bytes
            totals[1] += done.is_new
            if done.is_new or done.sent_bytes:
                print(f"{done.path}: {done.sent_bytes / 1e6:.1f} MB sent", flush=True)

        push(files, store, arguments.robot, _patience(arguments), report, rejections.add)
        if totals[1] or not arguments.watch:
            print(f"{totals[1]} of {len(files)} episodes were new, {totals[0] / 1e6:.1f} MB sent", flush=True)

    return _repeated(once, arguments, rejections)


def _pull(arguments: argparse.Namespace) -> int:
    store, folder = _store(arguments.url, arguments), Path(arguments.output)
    rejections = _Rejections("pull")

    def once() -> None:
        found = [0, 0]

        def report(done: Pulled) -> None:
            found[0] += 1
            found[1] += done.is_new
            if done.is_new:
                print(
                    f"{folder / done.record.file}: {done.record.size / 1e6:.1f} MB of {done.record.robot}", flush=True
                )
            if done.has_other_annotation:
                print(f"{folder / done.record.file}: keeps its own annotation", file=sys.stderr)

        pull(store, folder, arguments.robot, _patience(arguments), report, rejections.add)
        if found[1] or not arguments.watch:
            print(f"{found[1]} of {found[0]} episodes were new", flush=True)

    return _repeated(once, arguments, rejections)


class _Rejections:
    """Episodes that are left out; each is named once, and again when the reason changes."""

    def __init__(self, tool: str):
        self._tool = tool
        self.reasons: dict[str, str] = {}

    def add(self, what: Path | str, error: Exception) -> None:
        """Takes one, and why."""
        reason = str(error) if str(what) in str(error) else f"{what}: {error}"
        if self.reasons.get(str(what)) != reason:
            self.reasons[str(what)] = reason
            print(f"apo episodes {self._tool}: {reason}", file=sys.stderr, flush=True)


def _finished(named: list[str]) -> list[Path]:
    """Episode files of folders and files, of which some may come later."""
    found: list[Path] = []
    for path in map(Path, named):
        found += list_episodes(path) if path.is_dir() else [path] if path.is_file() else []
    return found


def _repeated(once: Callable[[], None], arguments: argparse.Namespace, rejections: _Rejections) -> int:
    """Once, or with --watch until an interrupt; then a store that fails is looked at again."""
    try:
        while True:
            try:
                once()
            except RemoteError as error:
                if not arguments.watch:
                    raise
                print(f"apo episodes {arguments.tool}: {error}", file=sys.stderr, flush=True)
            if not arguments.watch:
                return 2 if rejections.reasons else 0
            time.sleep(arguments.watch)
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130


def _store(url: str, arguments: argparse.Namespace) -> RemoteStore:
    options = {}
    for text in arguments.option:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise EpisodeToolError(f"--option {text}: must be NAME=VALUE")
        options[name] = value
    return RemoteStore(url, options)


def _patience(arguments: argparse.Namespace) -> Patience:
    def report(text: str) -> None:
        print(f"apo episodes {arguments.tool}: {text}; trying again", file=sys.stderr, flush=True)

    return Patience(arguments.patience, time.monotonic, time.sleep, report)
