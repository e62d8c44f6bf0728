"""The operator's console: its keys, and what it shows of device, control and episode. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from apo_core.system.terminal import LiveLine
from apo_core.types import OperatorEvent

# the keys of the operator device `keyboard`
KEYS = {
    "t": OperatorEvent.START,
    "y": OperatorEvent.SUCCESS,
    "n": OperatorEvent.FAILURE,
    "x": OperatorEvent.DISCARD,
    "z": OperatorEvent.UNDO_LAST,
    "b": OperatorEvent.HAND_BACK,
    "0": OperatorEvent.ESTOP,
    "c": OperatorEvent.CLEAR,
}
HELP = (
    "t start an episode   y success   n failure   x discard   z undo last\n"
    "b hand back   0 EMERGENCY STOP   c clear   ? this help   Ctrl-C end"
)
_UNUSED = "operator_unused"  # the arbiter's reason
_NAMES = ("vx", "vy", "vz", "wx", "wy", "wz")


class OperatorView:
    """Shows the stack: a live line of its present state, permanent lines of its events.

    Args:
        console: where to.
    """

    def __init__(self, console: LiveLine):
        self._console = console
        self._device: tuple[str, bool] | None = None
        self._control: tuple[str, str, bool] | None = None
        self._motion = ""
        self._episode = ""
        self._help_wanted = False

    def show_device(
        self, device: str, connected: bool, active: bool, values: Sequence[float], events: Sequence[str]
    ) -> None:
        """A sample of the operator's device; fields as in OperatorCommand."""
        if (device, connected) != self._device:
            self._device = (device, connected)
            self._console.note(f"{device}: {'connected' if connected else 'not connected'}")
        for event in events:
            if event == OperatorEvent.PRESENT:
                continue
            self._console.note(f"button: {event}")
        motion = "  ".join(f"{name} {value:+.2f}" for name, value in zip(_NAMES, values, strict=False))
        self._motion = f"{'moves' if active else 'rests'}  {motion}  (m/s, rad/s)"
        self._update()

    def show_control(self, state: str, reason: str, latched: bool) -> None:
        """A state of the arbiter; fields as in ControlStatus."""
        before, self._control = self._control, (state, reason, latched)
        if reason == _UNUSED and self._control != before:
            self._console.note(f"{state}: {reason}: move the operator's device or press a button of it once")
        if latched and self._control != before:
            self._console.note(f"{state}: {reason}, until cleared")
        self._update()

    def show_episode(self, event: str, episode_id: str, outcome: str, reason: str, steps: int, takeovers: int) -> None:
        """An event of the recorder; fields as in EpisodeEvent."""
        self._episode = episode_id if event == "STARTED" else ""
        text = f"episode {episode_id} {event}"
        if event == "SAVED":
            text += f" {outcome}: {steps} steps, takeovers: {takeovers}"
        elif event != "STARTED":
            text += f": {reason}"
        self._console.note(text)
        self._update()

    def show_uncertainty(self, help_wanted: bool, entropy: float) -> None:
        """The policy's uncertainty; notes when it begins or ceases to ask for help. Fields as in ActionDoubt."""
        if help_wanted != self._help_wanted:
            self._help_wanted = help_wanted
            what = "asks for help: take over" if help_wanted else "no longer asks for help"
            self._console.note(f"the policy {what} (entropy {entropy:.2f} nats)")

    def show_answer(self, event: OperatorEvent, accepted: bool, message: str) -> None:
        """The answer to a key; an accepted one without a message shows by its effect."""
        if not accepted:
            self._console.note(f"{event} rejected: {message}")
        elif message:
            self._console.note(f"{event}: {message}")

    def _update(self) -> None:
        parts = [self._control[0]] if self._control else []
        parts += [f"records {self._episode}"] if self._episode else []
        self._console.update("  |  ".join([*parts, self._motion]))
