"""Joint motion for a wanted twist of an arm's tip, within every limit. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apo_core.errors import ConfigError
from apo_teleop.outputs.config import OutputConfig
from apo_teleop.outputs.kinematics import Arm

_PROBE = 1e-3  # rad, step in joint space that shows whether a singularity comes closer
_SMALL = 1e-9  # rad/s (m/s)


@dataclass(frozen=True, slots=True)
class JointMotion:
    """Joint velocity for a twist."""

    velocity: np.ndarray  # (n,) rad/s (m/s)
    scale: float  # share of the wanted speed that was possible, 0..1
    limits: tuple[str, ...]  # what was in the way: singularity, joint_speed.<joint>, joint_position.<joint>


class TwistSolver:
    """Joint velocity for a twist: the pseudo-inverse of the Jacobian, then the whole motion slowed until every limit is
    kept, which leaves its direction as it was. Motion into a singularity slows from `singularity_slow` on and ends at
    `singularity_stop`; below that the inverse is damped, (J^T J + lambda^2 I) q' = J^T v with lambda^2 rising as the
    smallest singular value falls (Chiaverini, Siciliano, Egeland 1994, IEEE Trans. Control Systems Technology 2(2)).

    Args:
        arm: at least six joints.
        config: limits.

    Raises:
        ConfigError: the arm has too few joints.
    """

    def __init__(self, arm: Arm, config: OutputConfig):
        if len(arm.joints) < 6:
            fault = f"the arm has {len(arm.joints)} joints {list(arm.joints)}, a joint output needs at least 6"
            raise ConfigError("config/contract.yaml: state.joint_position", [fault])
        margin = config.joint_limit_margin_rad
        tight = [name for name, gap in zip(arm.joints, arm.upper - arm.lower, strict=True) if gap <= 2 * margin]
        if tight:
            fault = f"joint_limit_margin_rad = {margin} leaves no room for {tight}"
            raise ConfigError("config/arbiter.yaml", [fault])
        self._arm, self._config = arm, config
        self.lower, self.upper = arm.lower + margin, arm.upper - margin  # (n,) where a target may lie
        self.speed = arm.speed * config.joint_speed_share  # (n,) rad/s (m/s)

    def solve(self, positions: np.ndarray, twist: np.ndarray) -> JointMotion:
        """Joint velocity for a twist (6,) [m/s, rad/s] in the base link's axes, at joint positions (n,)."""
        if not np.any(twist):
            return JointMotion(np.zeros(len(self.speed)), 1.0, ())
        config = self._config
        u, values, vt = np.linalg.svd(self._arm.at(positions).jacobian, full_matrices=False)
        damping = max(0.0, 1.0 - (values[-1] / config.singularity_stop) ** 2) * config.singularity_damping**2
        velocity = vt.T @ (values / (values**2 + damping) * (u.T @ np.asarray(twist, np.float64)))
        limits: dict[str, float] = {}
        if values[-1] < config.singularity_slow and self._comes_closer(positions, velocity, values[-1]):
            room = config.singularity_slow - config.singularity_stop
            limits["singularity"] = max(0.0, (values[-1] - config.singularity_stop) / room)
        towards = np.where(velocity > 0, self.upper - positions, positions - self.lower)
        to_limit = np.maximum(towards, 0.0) / config.joint_limit_brake_s
        for name, bound in (("joint_speed", self.speed), ("joint_position", to_limit)):
            for i in np.flatnonzero(np.abs(velocity) > bound + _SMALL):
                limits[f"{name}.{self._arm.joints[i]}"] = bound[i] / abs(velocity[i])
        scale = min(limits.values(), default=1.0)
        return JointMotion(velocity * scale, scale, tuple(limits))

    def _comes_closer(self, positions: np.ndarray, velocity: np.ndarray, value: float) -> bool:
        step = _PROBE / max(float(np.linalg.norm(velocity)), _SMALL)
        ahead = self._arm.at(positions + step * velocity).jacobian
        return np.linalg.svd(ahead, compute_uv=False)[-1] < value
