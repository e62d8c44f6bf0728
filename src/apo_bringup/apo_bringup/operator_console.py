"""Says for people what an operator's device does. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from apo_bringup.console import Console

_NAMES = ("vx", "vy", "vz", "wx", "wy", "wz")


class OperatorView:
    """Writes samples of operator/command.

    Args:
        console: where to.
    """

    def __init__(self, console: Console):
        self._console = console
        self._told: tuple[str, bool] | None = None

    def show(self, device: str, connected: bool, active: bool, values: Sequence[float], events: Sequence[str]) -> None:
        """Shows a sample; fields as in OperatorCommand."""
        if (device, connected) != self._told:
            self._told = (device, connected)
            self._console.note(f"{device}: {'connected' if connected else 'not connected'}")
        for event in events:
            self._console.note(f"button: {event}")
        motion = "  ".join(f"{name} {value:+.2f}" for name, value in zip(_NAMES, values, strict=False))
        self._console.update(f"{'moves' if active else 'rests'}  {motion}  (m/s, rad/s)")
