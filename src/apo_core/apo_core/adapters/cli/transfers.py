"""`apo adapters push`, `pull` and `release`: adapters to and from a URL, and from the first robots to all."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from apo_core.adapters.manifest import policy_name
from apo_core.adapters.remote.pull import Pull
from apo_core.adapters.remote.push import Push
from apo_core.adapters.remote.rings import read_ring, release
from apo_core.adapters.remote.store import CANARY, FLEET, RINGS, RemoteAdapters
from apo_core.adapters.signature import read_trusted_keys
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError
from apo_core.remote.command_line import (
    URL,
    Rejections,
    access_options,
    patience_of,
    repeated,
    store_options,
    watch_option,
)
from apo_core.system.command_line import Option, ToolParser, number

_PROG = "apo adapters"


def add_transfers(tools: ToolParser, public_key: Option) -> None:
    """Adds the commands; `public_key` adds the option of that name."""
    to = tools.add(
        "push",
        _push,
        "bring adapters and the promotion to a store: a folder, S3, ...",
        "Content that is there already is not sent again; stopped or killed at any time, the next push goes on. With "
        "--watch it stays and pushes what is published and promoted from then on.",
    )
    to.add_argument("folder", metavar="FOLDER", help="adapter store")
    to.add_argument("--to", required=True, metavar="URL", help=URL)
    to.add_argument(
        "--ring",
        choices=RINGS,
        default=FLEET,
        help="who gets the promotion: canary, or fleet, which is all robots (default %(default)s)",
    )
    access_options(to)
    watch_option(to)
    from_ = tools.add(
        "pull",
        _pull,
        "bring the adapters of a store, and the promotion, into a folder",
        "Each version is verified before it appears, and the promotion follows its version. An older promotion never "
        "replaces a newer one. With --watch it stays and pulls what comes; a policy node follows the folder.",
        [public_key],
    )
    from_.add_argument("url", metavar="URL", help=URL)
    from_.add_argument("--output", required=True, metavar="FOLDER", help="adapter store, made when missing")
    from_.add_argument(
        "--ring", choices=RINGS, default=FLEET, help="whose promotion the folder follows (default %(default)s)"
    )
    from_.add_argument(
        "--newest",
        type=number(int, 0),
        metavar="N",
        help="so many versions beside the promoted one and the one before (default: all)",
    )
    access_options(from_)
    watch_option(from_)
    let = tools.add(
        "release",
        _release,
        "give the fleet what the canary robots have",
        "Without a version it prints what both have.",
    )
    let.add_argument("url", metavar="URL", help=URL)
    let.add_argument("version", nargs="?", type=int, metavar="VERSION", help="that the canary robots must have")
    access_options(let)


def _push(arguments: argparse.Namespace) -> int:
    local = AdapterStore(arguments.folder)
    if not local.path.is_dir() and not arguments.watch:
        raise AdapterError(f"{local.path}: there is no adapter store")
    look = Push(local, _store(arguments.to, arguments), arguments.ring, patience_of(arguments, _PROG)).look
    return _repeated(look, "sent", arguments)


def _pull(arguments: argparse.Namespace) -> int:
    trusted = read_trusted_keys(arguments.public_key) if arguments.public_key else None
    store, patience = _store(arguments.url, arguments), patience_of(arguments, _PROG)
    look = Pull(store, Path(arguments.output), arguments.ring, arguments.newest, patience, trusted).look
    return _repeated(look, "received", arguments)


def _release(arguments: argparse.Namespace) -> int:
    store, patience = _store(arguments.url, arguments), patience_of(arguments, _PROG)
    if arguments.version is None:
        for ring in (CANARY, FLEET):
            there = read_ring(store, ring, patience)
            has = f"{policy_name(there[1].number)} (change {there[1].sequence})" if there else "no promotion yet"
            print(f"{ring}: {has}")
        return 0
    released = release(store, arguments.version, patience)
    change = f"has it now (change {released.sequence})" if released else "had it already"
    print(f"{policy_name(arguments.version)}: the fleet {change}")
    return 0


def _repeated(
    look: Callable[[Callable[[str, int], None], Callable[[str, Exception], None]], None],
    done: str,
    arguments: argparse.Namespace,
) -> int:
    rejections = Rejections(f"{_PROG} {arguments.tool}")

    def once() -> None:
        sizes: list[int] = []

        def report(what: str, size: int) -> None:
            sizes.append(size)
            print(f"{what}: {size / 1e6:.1f} MB {done}" if size >= 50_000 else what, flush=True)

        look(report, rejections.add)
        if not sizes and not arguments.watch:
            print("nothing was new", flush=True)

    return repeated(once, arguments, _PROG, rejections)


def _store(url: str, arguments: argparse.Namespace) -> RemoteAdapters:
    return RemoteAdapters(url, store_options(arguments))
