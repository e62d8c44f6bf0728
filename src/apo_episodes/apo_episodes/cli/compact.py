"""`apo episodes compact`: lossless episodes become video, at low priority."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from apo_core.errors import EpisodeFormatError, EpisodeToolError
from apo_core.system.command_line import ToolParser, number
from apo_episodes.cli.options import paths
from apo_episodes.compaction import (
    GOP_LIMITS,
    ORIGINALS,
    Compaction,
    CompactSettings,
    compact_episode,
    release_original,
)
from apo_episodes.files import extra_module, find_episodes

_LOWEST = 19  # nice value


def add_compact(tools: ToolParser) -> None:
    """Adds the command."""
    usual = CompactSettings()
    compact = tools.add(
        "compact",
        _compact,
        "store the colour images of lossless episodes as video",
        "Facts, labels and depth images stay to the bit. The video is read whole and compared before it takes the "
        f"file's place; the lossless file moves to {ORIGINALS}/ beside it. An episode that would lose too much stays "
        "as it is. Killed at any time, no episode is lost; the next run goes on.",
        [paths],
    )
    compact.add_argument(
        "--crf",
        type=number(int, 1, 51),
        default=usual.crf,
        metavar="N",
        help="of x264: 1 best .. 51 (default %(default)s)",
    )
    compact.add_argument(
        "--gop",
        type=number(int, *GOP_LIMITS),
        default=usual.gop,
        metavar="N",
        help="frames that are decoded to read one (default %(default)s)",
    )
    compact.add_argument(
        "--floor",
        type=number(float, 0),
        default=usual.floor_db,
        metavar="DB",
        help="least PSNR of a camera; an episode below it stays lossless (default %(default)g)",
    )
    compact.add_argument(
        "--keep-days",
        type=number(float, 0),
        metavar="DAYS",
        help=f"remove files of {ORIGINALS}/ so long after they were compacted (default: never)",
    )


def _compact(arguments: argparse.Namespace) -> int:
    extra_module("av", "av", "video")
    files = find_episodes(arguments.paths)
    settings = CompactSettings(arguments.crf, arguments.gop, arguments.floor)
    stop = threading.Event()
    done: list[Compaction] = []
    failed = False

    def go_on() -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    # a thread of its own, since a process cannot raise its priority again
    with ThreadPoolExecutor(1, "compact", initializer=_give_way) as worker:
        try:
            for path in files:
                try:
                    done.append(worker.submit(compact_episode, path, settings, datetime.now(UTC), go_on).result())
                    _report(done[-1])
                    if arguments.keep_days is not None:
                        _release(path, arguments.keep_days)
                except (EpisodeFormatError, EpisodeToolError) as error:
                    print(f"apo episodes compact: {error}", file=sys.stderr)
                    failed = True
        except KeyboardInterrupt:
            stop.set()
            return 130
    new = [one for one in done if one.is_new]
    before, after = sum(one.bytes_before for one in new), sum(one.bytes_after for one in new)
    print(f"{len(new)} of {len(files)} episodes compacted, {before / 1e6:.1f} -> {after / 1e6:.1f} MB")
    return 2 if failed else 0


def _give_way() -> None:
    """Gives this thread, and those it starts, the lowest priority."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)


def _report(one: Compaction) -> None:
    if one.is_new:
        quality = ", ".join(f"{name} {db:.1f} dB" for name, db in one.psnr_db.items())
        print(f"{one.path}: {one.bytes_before / 1e6:.1f} -> {one.bytes_after / 1e6:.1f} MB, {quality}", flush=True)
    else:
        print(f"{one.path}: stays as it is: {one.reason}", flush=True)


def _release(path: Path, keep_days: float) -> None:
    original = path.parent / ORIGINALS / path.name
    if not original.exists():
        return
    reason = release_original(path, keep_days, datetime.now(UTC))
    print(f"{original}: {'removed' if reason is None else f'stays: {reason}'}", flush=True)
