"""What the recorder's diagnostics show of all that may be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apo_core.content_watch import FROZEN
from apo_core.ros.diagnostics import ERROR, OK, WARN
from apo_core.stream_watch import missed


@dataclass(frozen=True, slots=True)
class RecorderHealth:
    """Level and text of the diagnostics, and the lines of the log."""

    level: bytes
    text: str
    warnings: tuple[str, ...] = ()


def health_of(
    loses: bool,
    streams: Sequence[str],
    frozen: Sequence[str],
    rejections: Sequence[str],
    rejection: str,
    lost: Sequence[str] = (),
) -> RecorderHealth:
    """The worst that is wrong.

    Args:
        loses: the running episode misses something.
        streams: why there are no or few observations.
        frozen: streams whose content stays the same while the arm moves.
        rejections: why steps of the running episode are rejected.
        rejection: why no episode begins; empty: it may.
        lost: why the running episode misses steps.
    """
    warnings = [missed("; ".join(streams))] if streams else []
    warnings += [f"{FROZEN}{'; '.join(frozen)}"] if frozen else []
    warnings += [f"loses steps: {'; '.join(lost)}"] if lost else []
    warnings += [f"rejects steps: {'; '.join(rejections)}"] if rejections else []
    if rejection:
        return RecorderHealth(ERROR, f"begins no episode: {rejection}", tuple(warnings))
    if warnings:
        return RecorderHealth(WARN, warnings[-1], tuple(warnings))
    return RecorderHealth(WARN, "loses data") if loses else RecorderHealth(OK, "records")
