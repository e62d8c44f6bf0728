"""Tables of plain text for terminals."""

from __future__ import annotations

from collections.abc import Sequence


def align_columns(rows: Sequence[Sequence[str]], left: int | None = None) -> list[str]:
    """A line for each row, its cells padded to the widest of their column and two spaces apart.

    Args:
        rows: cells, as many in each.
        left: number of leading columns that are aligned to the left, the others to the right; None: all.

    Raises:
        ValueError: rows of different lengths.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pads = [str.ljust if left is None or column < left else str.rjust for column in range(len(widths))]
    cells = ([pad(*each) for pad, each in zip(pads, zip(row, widths, strict=True), strict=True)] for row in rows)
    return ["  ".join(line).rstrip() for line in cells]
