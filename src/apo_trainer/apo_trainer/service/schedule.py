"""When a training starts unasked: after so many new episodes, after a time, or at times of the day. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from apo_core.errors import ConfigError

RETRY_S = 60.0
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


def parse_times(text: str) -> tuple[int, ...]:
    """Minutes of the day of `HH:MM` texts separated by commas; empty for none.

    Raises:
        ConfigError: a text that is no time of the day.
    """
    times, faults = [], []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _TIME.fullmatch(part)
        if match is None:
            faults.append(f"train_at = {text!r}: {part!r} must be a time of the day, HH:MM (config/trainer.yaml)")
        else:
            times.append(60 * int(match[1]) + int(match[2]))
    if faults:
        raise ConfigError("trainer", faults)
    return tuple(sorted(times))


class Triggers:
    """Decides when a run is due. A time of the day without a new episode is dropped; one during a run counts.

    Args:
        every_n_episodes: new episodes that start a run; 0: none do.
        every_s: seconds from the start of one run to the next; 0: never.
        at: minutes of the day.
        now_s: steady clock.
        now: local time.
    """

    def __init__(self, every_n_episodes: int, every_s: float, at: tuple[int, ...], now_s: float, now: datetime):
        self._every_n, self._every_s, self._at = every_n_episodes, every_s, at
        self._started_s, self._looked = now_s, now
        self._not_before_s = now_s
        self._pending = ""  # a time of the day that passed and has not started a run

    def due(self, now_s: float, now: datetime, new_episodes: int) -> str:
        """Why a run shall start now; empty when none shall.

        Args:
            now_s: steady clock.
            now: local time.
            new_episodes: sound ones that no run has used yet.
        """
        passed = self._passed(now)
        self._looked = now
        if not new_episodes:
            self._pending = ""
            return ""
        self._pending = passed or self._pending
        if now_s < self._not_before_s:
            return ""
        if 0 < self._every_n <= new_episodes:
            return f"{new_episodes} new episodes"
        if 0 < self._every_s <= now_s - self._started_s:
            return f"{now_s - self._started_s:.0f} s since the last run, {new_episodes} new episodes"
        return f"it is {self._pending}, {new_episodes} new episodes" if self._pending else ""

    def started(self, now_s: float) -> None:
        """A run has started, for whatever reason."""
        self._started_s, self._pending = now_s, ""

    def failed(self, now_s: float) -> None:
        """A run that was due could not start: it is due again after RETRY_S."""
        self._not_before_s = now_s + RETRY_S

    def _passed(self, now: datetime) -> str:
        """The newest time of the day that lies after the last look."""
        if now <= self._looked:
            return ""
        before, minute = self._looked, now.hour * 60 + now.minute
        for time in reversed(self._at):
            # today's, if it lies between the two looks
            moment = now.replace(hour=time // 60, minute=time % 60, second=0, microsecond=0)
            if before < moment <= now and time <= minute:
                return f"{time // 60:02}:{time % 60:02}"
        return ""
