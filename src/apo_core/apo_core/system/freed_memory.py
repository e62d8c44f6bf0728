"""What becomes of freed memory in a process that lives for weeks."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # malloc.h of glibc
LARGE_BYTES = 1 << 20  # more than a camera's frame of 640 x 480, so that frames cost no mapping of their own


def return_large_blocks(least: int = LARGE_BYTES) -> None:
    """Returns freed blocks to the system from now on; does nothing where the C library is not glibc.

    glibc raises its own limit to the largest block that was freed, up to 32 MiB, and keeps what is smaller: one long
    episode that was read would grow the process for ever (mallopt(3), M_MMAP_THRESHOLD).

    Args:
        least: size of a block, bytes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, least)
