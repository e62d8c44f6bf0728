"""Pose targets: the commands integrated, within a lead of the measured pose. Pure."""

from __future__ import annotations

import numpy as np

from apo_core.actions import ANGULAR, LINEAR, shortened_array
from apo_core.contract.contract import Contract
from apo_core.contract.specs import LARGEST
from apo_core.rotations import canonical_quaternion, rotated, turn_between
from apo_teleop.outputs.base import PERIODS, SMALL, ArmOutput, Elapsed, target_start_limit
from apo_teleop.outputs.config import OutputConfig


class PoseOutput(ArmOutput):
    """Pose target (7,): x y z [m], unit quaternion xyzw; the command integrated from the last target.

    Integrating from the measured pose would drag the target after the arm. It begins there once, with the first
    command after a restart; from then on it moves by no more than the contract's speed, whoever commands. No command
    leads it further than `pose_lead_m` and `pose_lead_rad` from the measured pose, or out of the workspace box; where
    the arm itself has gone further away, the target comes back into the lead at that speed, and only towards a pose
    measured just now.

    Args:
        config: lead.
        contract: rate, speeds, largest age of a pose.
    """

    _measured: tuple[np.ndarray, np.ndarray] | None  # position and quaternion
    _target: tuple[np.ndarray, np.ndarray] | None

    def __init__(self, config: OutputConfig, contract: Contract):
        self._contract = contract
        self._lead_m, self._lead_rad = config.pose_lead_m, config.pose_lead_rad
        self._elapsed = Elapsed(1.0 / contract.rate_hz)
        self._fresh_ns, self._max_age_ns = PERIODS * contract.period_ns, round(contract.max_age_s * 1e9)
        self._held = 0
        self.restart()

    def on_pose(self, position: np.ndarray, quaternion: np.ndarray, taken_ns: int) -> None:
        """See ArmOutput; what is not a pose is ignored."""
        values = np.concatenate([position, quaternion]).astype(np.float64)
        if np.all(np.abs(values) <= LARGEST) and 0.5 < np.linalg.norm(values[3:]) < 2.0:
            self._measured, self._taken_ns = (values[:3], canonical_quaternion(values[3:])), taken_ns

    def restart(self) -> None:
        """See ArmOutput."""
        self._measured = self._target = None
        self._taken_ns = 0
        self._elapsed.restart()

    def fault(self, now_ns: int) -> str:
        """See ArmOutput."""
        if self._measured is None:
            return "no end-effector pose to begin a pose target at"
        age_ns, contract = now_ns - self._taken_ns, self._contract
        # ahead: time was set back, and what came before must not count as new until time has caught up
        if abs(age_ns) > self._max_age_ns:
            age = f"{abs(age_ns) * 1e-9:.3f} s {'old' if age_ns > 0 else 'ahead'}"
            return f"end-effector pose is {age}, max_age_s = {contract.max_age_s} in {contract.source}"
        if self._target is None and age_ns > self._fresh_ns:
            return f"end-effector pose is {age_ns * 1e-9:.3f} s old, {target_start_limit(contract)}"
        return ""

    def command(self, twist: np.ndarray, now_ns: int) -> np.ndarray | None:
        """See ArmOutput."""
        dt_s = self._elapsed.since_last(now_ns)
        is_fresh = now_ns - self._taken_ns <= self._fresh_ns
        if self._measured is None or (self._target is None and not is_fresh):
            return None
        self._target = self._target or self._measured
        way, limits = np.asarray(twist, np.float64) * dt_s, self._contract.limits
        largest_m, largest_rad = limits.linear_speed * dt_s, limits.angular_speed * dt_s
        (position, quaternion), (at, facing) = self._target, self._measured
        moved = position + shortened_array(way[LINEAR], largest_m)
        # the arm may be late: no command leads the target out of the box, or further out
        moved = np.clip(moved, np.minimum(limits.workspace_low, position), np.maximum(limits.workspace_high, position))
        turned = rotated(quaternion, shortened_array(way[ANGULAR], largest_rad))
        # an old pose is no place to go back to: a target beyond the lead then only goes no further
        lead_m = self._lead_m if is_fresh else max(self._lead_m, float(np.linalg.norm(position - at)))
        ahead, held = moved - at, False
        if np.linalg.norm(ahead) > lead_m + SMALL:
            moved, held = position + shortened_array(at + shortened_array(ahead, lead_m) - position, largest_m), True
        lead_rad = self._lead_rad
        if not is_fresh:
            lead_rad = max(lead_rad, float(np.linalg.norm(turn_between(facing, quaternion))))
        ahead = turn_between(facing, turned)
        if np.linalg.norm(ahead) > lead_rad + SMALL:
            within = rotated(facing, shortened_array(ahead, lead_rad))
            turned, held = rotated(quaternion, shortened_array(turn_between(quaternion, within), largest_rad)), True
        self._held += held
        self._target = moved, turned
        return np.concatenate(self._target)

    def summary(self) -> dict[str, str]:
        """How many commands the lead has changed."""
        return {"held_at_lead": str(self._held)}
