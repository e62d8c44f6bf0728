"""Times of day as text in files."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> str:
    """The time in ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
