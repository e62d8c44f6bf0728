"""What every output to an arm is, and how time passes between its commands. Pure.

A command is a twist in the contract's frame with the time at which it was decided. Every output gives exactly one
value for every command; None only before anything is known of where the robot is, when no target is safe.
All times are of one clock: the steady one, in lockstep that of the observations' stamps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from apo_core.contract.contract import Contract

PERIODS = 2  # a target moves on by at most this many control periods at once, and towards no older measurement
SMALL = 1e-9  # m, rad; less is rounding


class ArmOutput(ABC):
    """Turns commands into what one kind of controller takes; what a kind needs to know of the robot it overrides."""

    joints: tuple[str, ...] = ()  # the arm's, in the order of every joint vector; only of a joint output
    share = 1.0  # of the newest command's speed that the arm's own limits (speed, position, singularity) have left

    def on_pose(self, position: np.ndarray, quaternion: np.ndarray, taken_ns: int) -> None:  # noqa: B027
        """The end effector as measured at a time: (3,) m, (4,) xyzw, frame of the contract."""

    def on_joints(self, positions: np.ndarray | None, fault: str, taken_ns: int) -> None:  # noqa: B027
        """Joint positions (n,) rad (m) as measured at a time, in the contract's order, or why there are none."""

    def on_description(self, urdf: str) -> None:  # noqa: B027
        """The robot's URDF arrived."""

    def restart(self) -> None:  # noqa: B027
        """Control begins (again): whatever was sent or measured before counts no more."""

    def fault(self, now_ns: int) -> str:
        """Why no motion can be computed now, empty when it can; the arbiter then holds."""
        return ""

    @abstractmethod
    def command(self, twist: np.ndarray, now_ns: int) -> np.ndarray | None:
        """The value to send for a twist (6,) m/s, rad/s decided now."""

    def summary(self) -> dict[str, str]:
        """Key and value for /diagnostics."""
        return {}


def target_start_limit(contract: Contract) -> str:
    """The oldest measurement that a target may begin at, for people."""
    oldest_s = PERIODS / contract.rate_hz
    return f"a target begins at one of at most {oldest_s:g} s, {PERIODS} periods of rate_hz in {contract.source}"


class Elapsed:
    """Time between commands; that of the first is a control period, a pause counts as a few."""

    def __init__(self, period_s: float):
        self._period_s = period_s
        self._last_ns: int | None = None

    def restart(self) -> None:
        """The next call is the first."""
        self._last_ns = None

    def since_last(self, clock_ns: int) -> float:
        """Seconds since the last call."""
        last_ns, self._last_ns = self._last_ns, clock_ns
        if last_ns is None:
            return self._period_s
        return min(max((clock_ns - last_ns) * 1e-9, 0.0), PERIODS * self._period_s)
