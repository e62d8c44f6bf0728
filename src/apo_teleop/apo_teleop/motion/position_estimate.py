"""Where the end effector may be by now: the newest pose and the commands since. Pure; time is passed in."""

from __future__ import annotations

from collections.abc import Sequence

from apo_core.actions import LINEAR


class PositionEstimate:
    """How far the end effector may have come since the newest pose: what was commanded since counts in full.

    On each axis only motion in the wanted direction counts: that which leads back may not have been executed. All times
    are of the clock of the poses' stamps; time that starts over resets it. Plain floats.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Nothing is known."""
        self._position: tuple[float, ...] | None = None
        self._stamp_ns = 0
        self._now_ns: int | None = None
        self._commands: list[tuple[int, tuple[float, ...]]] = []  # since when, velocity (3,)

    def observe(self, position: Sequence[float], stamp_ns: int, now_ns: int) -> None:
        """A pose has arrived.

        Args:
            position: (3,) m, finite.
            stamp_ns: when it was taken; one older than that of the pose before changes nothing.
            now_ns: time now; a stamp ahead of it counts as now.
        """
        self._pass_time(now_ns)
        stamp_ns = min(stamp_ns, now_ns)
        if self._position is not None and stamp_ns < self._stamp_ns:
            return
        self._position, self._stamp_ns = tuple(position), stamp_ns
        while len(self._commands) > 1 and self._commands[1][0] <= stamp_ns:
            del self._commands[0]

    def executed(self, action: Sequence[float], now_ns: int) -> None:
        """The action (A,) [m/s] is commanded from now on."""
        self._pass_time(now_ns)
        velocity = tuple(action[LINEAR])
        if not self._commands or self._commands[-1][1] != velocity:
            self._commands.append((now_ns, velocity))

    def towards(self, action: Sequence[float], now_ns: int) -> list[float] | None:
        """Where the tip may be by now (3,) [m], on each axis the furthest in the action's direction; None: unknown."""
        self._pass_time(now_ns)
        if self._position is None:
            return None
        ends = [begin for begin, _ in self._commands[1:]] + [now_ns]
        position = list(self._position)
        for (begin_ns, velocity), end_ns in zip(self._commands, ends, strict=True) if self._commands else ():
            lasted_s = (end_ns - max(begin_ns, self._stamp_ns)) * 1e-9
            for i in range(3):
                if lasted_s > 0 and velocity[i] * action[i] > 0:
                    position[i] += velocity[i] * lasted_s
        return position

    def _pass_time(self, now_ns: int) -> None:
        if self._now_ns is not None and now_ns < self._now_ns:
            self.reset()
        self._now_ns = now_ns
