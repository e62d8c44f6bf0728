"""The command that the simulated robot executes next. Pure; time is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apo_core.actions import GRIPPER, OPEN, TWIST, GripperScale
from apo_sim_bridge.perturbation.settings import StreamPerturbation
from apo_sim_bridge.perturbation.streams import CommandLink

ROUNDING = 1e-3  # share of a limit's span that a value may lie outside


@dataclass(frozen=True, slots=True)
class Execution:
    """What a step executes."""

    action: np.ndarray  # float32 (7,), contract units
    observation_stamp_ns: int  # observation the twist answers; 0 when no twist was usable


class PendingCommand:
    """The newest twist and gripper position, received separately, as one action to execute.

    An unusable value is rejected: after it the arm stands still, or the gripper keeps its position.

    Args:
        low, high: (7,) limits of an action.
        frame_id: of a twist.
        gripper: positions of the gripper.
        timeout_ns: time after which a twist is no longer executed.
    """

    def __init__(
        self, low: Sequence[float], high: Sequence[float], frame_id: str, gripper: GripperScale, timeout_ns: int
    ):
        self._low, self._high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        self._frame_id, self._scale, self._timeout_ns = frame_id, gripper, timeout_ns
        self.clear()

    def clear(self) -> None:
        """Drops twist and stamps; the gripper is to open."""
        self._twist: np.ndarray | None = None
        self._received_ns = 0
        self._gripper = np.float32(OPEN)
        self._stamps: tuple[int, int] = (0, 0)  # of the newest twist and gripper position, rejected or not

    def put_twist(self, twist: Sequence[float] | np.ndarray, frame_id: str, stamp_ns: int, now_ns: int) -> str:
        """Stores a twist (6,) [m/s, rad/s]; returns "" or why it is rejected."""
        values = np.asarray(twist, np.float64)
        self._twist, self._received_ns = None, now_ns
        self._stamps = stamp_ns, self._stamps[1]
        if frame_id != self._frame_id:
            return f"has the frame {frame_id!r}, must have {self._frame_id!r}"
        fault = self._range_fault(values, TWIST)
        if not fault:
            self._twist = np.clip(values, self._low[TWIST], self._high[TWIST]).astype(np.float32)
        return fault

    def put_gripper(self, position: float, stamp_ns: int) -> str:
        """Stores a position of the gripper [m]; returns "" or why it is rejected."""
        self._stamps = self._stamps[0], stamp_ns
        value = np.array([self._scale.value(position)])
        fault = self._range_fault(value, slice(GRIPPER, GRIPPER + 1))
        if fault:
            return f"position = {position} m: {fault} as a value of the action"
        self._gripper = np.float32(np.clip(value[0], self._low[GRIPPER], self._high[GRIPPER]))
        return ""

    def answers(self, stamp_ns: int) -> bool:
        """Whether both were received with this stamp, rejected or not."""
        return self._stamps == (stamp_ns, stamp_ns)

    def take(self, now_ns: int) -> Execution:
        """The newest command; standing still when there is no twist within the timeout."""
        if self._twist is None or now_ns - self._received_ns > self._timeout_ns:
            return Execution(np.append(np.zeros(TWIST.stop, np.float32), self._gripper), 0)
        return Execution(np.append(self._twist, self._gripper), self._stamps[0])

    def _range_fault(self, values: np.ndarray, part: slice) -> str:
        low, high = self._low[part], self._high[part]
        if values.shape != low.shape or not np.all(np.isfinite(values)):
            return f"is not {low.size} finite numbers: {values.tolist()}"
        slack = ROUNDING * (high - low)
        if np.any(values < low - slack) or np.any(values > high + slack):
            return f"{values.tolist()} is outside {low.tolist()} .. {high.tolist()} (action in config/contract.yaml)"
        return ""


def command_link(streams: StreamPerturbation, seed: int) -> CommandLink[Execution] | None:
    """The way of the commands of a trial to the arm; None: they are executed at once.

    Args:
        streams: delays.
        seed: of the trial.
    """
    if not streams.holds_commands_back:
        return None
    still = Execution(np.append(np.zeros(TWIST.stop, np.float32), np.float32(OPEN)), 0)
    return CommandLink(streams, seed, still)
