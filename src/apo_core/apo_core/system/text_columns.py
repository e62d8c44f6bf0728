"""Tables of plain text for terminals."""

from __future__ import annotations

from collections.abc import Container, Sequence


def align_columns(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """A line for each row, its cells padded to the widest of their column and two spaces apart.

    Args:
        rows: cells of each line.
        right: columns, from 0, whose cells end at the same place, as figures do; the others begin there.

    Raises:
        ValueError: rows of different lengths.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pad = [str.rjust if column in right else str.ljust for column in range(len(widths))]
    lines = [[pad[i](cell, widths[i]) for i, cell in enumerate(row)] for row in rows]
    return ["  ".join(cells).rstrip() for cells in lines]
