"""Joint velocities and joint targets, by the kinematics of the robot's URDF; reads `urdf_file` if one is named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from apo_core.contract.contract import Contract
from apo_core.errors import ConfigError
from apo_teleop.outputs.base import PERIODS, SMALL, ArmOutput, Elapsed, target_start_limit
from apo_teleop.outputs.config import OutputConfig
from apo_teleop.outputs.kinematics import Arm
from apo_teleop.outputs.twist_solver import TwistSolver

_JOINT_STATE = "joint_position"  # key of the contract's state


class JointOutput(ArmOutput):
    """Joint velocity (n,) rad/s (m/s), or joint targets (n,) rad (m), in the contract's order.

    A target begins at the measured joints once, with the first command after a restart; from then on it moves by no
    more than the URDF's speed times `joint_speed_share`, whoever commands. A command that would lead a joint further
    than `joint_lead_rad` from where it was measured is slowed, its direction kept; where a joint itself has gone
    further away, its target comes back into the lead at that speed, and only towards joints measured just now.
    Without usable joint states there is no motion: the velocity is zero, a target stays where it was.

    Args:
        config: limits; `output` is which of the two.
        contract: rate, names of the joints.

    Raises:
        ConfigError: the contract names no joints, or the URDF does not fit.
    """

    _position: np.ndarray | None  # (3,) of the end effector, as measured, m
    _measured: np.ndarray | None  # (n,) rad (m)
    _target: np.ndarray | None  # (n,) rad (m)

    def __init__(self, config: OutputConfig, contract: Contract):
        self._config, self._contract, self.joints = config, contract, _joint_names(contract)
        self._is_velocity = config.output == "joint_velocity"
        self._elapsed = Elapsed(1.0 / contract.rate_hz)
        self._fresh_ns, self._max_age_ns = PERIODS * contract.period_ns, round(config.joint_state_max_age_s * 1e9)
        self._arm: Arm | None = None
        self._solver: TwistSolver | None = None
        self._no_arm = f"no robot description on {config.robot_description_topic}"
        self._limits: Counter[str] = Counter()
        self._scale = 1.0
        self.restart()
        if config.urdf_file:
            self._load(_read(config.urdf_file), config.urdf_file)

    def _load(self, urdf: str, source: str) -> None:
        try:
            arm = Arm(urdf, self._config.base_link, self._config.tip_link, self.joints, source)
            self._solver = TwistSolver(arm, self._config)
        except ConfigError:
            raise
        except Exception as error:  # the description is somebody else's: whatever it breaks, the arm is held
            raise ConfigError(source, [f"cannot be used: {type(error).__name__}: {error}"]) from error
        self._arm, self._no_arm = arm, ""

    def on_pose(self, position: np.ndarray, quaternion: np.ndarray, taken_ns: int) -> None:
        """See ArmOutput; compared with the kinematics."""
        self._position = np.asarray(position, np.float64)

    def on_joints(self, positions: np.ndarray | None, fault: str, taken_ns: int) -> None:
        """See ArmOutput."""
        self._taken_ns, self._fault = taken_ns, fault
        if positions is not None and not np.all(np.isfinite(positions)):
            self._fault = f"joint positions are not finite: {np.asarray(positions).tolist()}"
        if not self._fault:
            self._measured = np.asarray(positions, np.float64)

    def on_description(self, urdf: str) -> None:
        """See ArmOutput; a URDF that does not fit becomes a fault. A later one counts only if none fitted before."""
        if self._arm is not None:
            return
        try:
            self._load(urdf, f"the URDF on {self._config.robot_description_topic}")
        except ConfigError as error:
            self._no_arm = str(error)

    def restart(self) -> None:
        """See ArmOutput; the description stays."""
        self._position = self._measured = self._target = None
        self._fault, self._taken_ns = f"no joint state with {list(self.joints)}", 0
        self._elapsed.restart()

    def fault(self, now_ns: int) -> str:
        """See ArmOutput."""
        if self._arm is None:
            return self._no_arm
        if self._fault or self._measured is None:
            return self._fault
        age_ns = now_ns - self._taken_ns
        if age_ns > self._max_age_ns:
            return f"joint state is {age_ns * 1e-9:.3f} s old, joint_state_max_age_s = {self._max_age_ns * 1e-9:g}"
        # time was set back: what came before must not count as new until time has caught up
        if -age_ns > self._max_age_ns:
            return f"joint state is {-age_ns * 1e-9:.3f} s ahead, joint_state_max_age_s = {self._max_age_ns * 1e-9:g}"
        if self._position is None:
            return "no end-effector pose to compare the kinematics with"
        apart_m = float(np.linalg.norm(self._arm.at(self._measured).position - self._position))
        if not apart_m <= self._config.kinematics_tolerance_m:
            return (
                f"ee_pose is {apart_m:.3f} m from {self._config.tip_link!r} as the joints have it in the axes of "
                f"{self._config.base_link!r}, kinematics_tolerance_m = {self._config.kinematics_tolerance_m}"
            )
        if self._target is None and not self._is_velocity and age_ns > self._fresh_ns:
            return f"joint state is {age_ns * 1e-9:.3f} s old, {target_start_limit(self._contract)}"
        return ""

    def command(self, twist: np.ndarray, now_ns: int) -> np.ndarray | None:
        """See ArmOutput."""
        dt_s = self._elapsed.since_last(now_ns)
        measured, solver = self._measured, self._solver
        if self.fault(now_ns) or measured is None or solver is None:
            return np.zeros(len(self.joints)) if self._is_velocity else self._target
        if self._is_velocity:
            return self._solve(solver, measured, twist)
        target, lead = measured if self._target is None else self._target, self._config.joint_lead_rad
        moved = target + self._within_lead(self._solve(solver, target, twist) * dt_s, target - measured)
        if now_ns - self._taken_ns <= self._fresh_ns:
            largest = solver.speed * dt_s
            moved = target + np.clip(np.clip(moved, measured - lead, measured + lead) - target, -largest, largest)
        low, high = solver.lower, solver.upper
        # a joint that stands beyond a limit is not pulled back: it may only not go further
        self._target = np.clip(moved, np.minimum(low, target), np.maximum(high, target))
        return self._target

    def _within_lead(self, step: np.ndarray, ahead: np.ndarray) -> np.ndarray:
        """A step (n,) of the target, shortened as a whole until no joint's lead (n,) grows beyond the largest."""
        size = np.abs(step)
        room = np.maximum(np.maximum(np.abs(ahead), self._config.joint_lead_rad) - np.sign(step) * ahead, 0.0)
        share = 1.0
        for i in np.flatnonzero(size > room + SMALL):
            self._limits[f"joint_lead.{self.joints[i]}"] += 1
            share = min(share, room[i] / size[i])
        self._scale *= share
        return step * share

    def _solve(self, solver: TwistSolver, positions: np.ndarray, twist: np.ndarray) -> np.ndarray:
        motion = solver.solve(positions, twist)
        self.share = self._scale = motion.scale
        self._limits.update(motion.limits)
        return motion.velocity

    def summary(self) -> dict[str, str]:
        """How much of the wanted speed is possible, and how often each limit was in the way."""
        return {"speed_share": f"{self._scale:.3f}"} | {
            f"slowed {name}": str(count) for name, count in sorted(self._limits.items())
        }


def _read(file: str) -> str:
    try:
        return Path(file).read_text()
    except (OSError, UnicodeError) as error:
        raise ConfigError("config/arbiter.yaml", [f"urdf_file = {file!r} cannot be read: {error}"]) from None


def _joint_names(contract: Contract) -> tuple[str, ...]:
    """The arm's joints, in the order of every joint vector.

    Raises:
        ConfigError: the contract has no state `joint_position` that is the position of joints.
    """
    for spec in contract.state:
        if spec.name == _JOINT_STATE and spec.field == "position":
            return spec.joints
    fault = f"state.{_JOINT_STATE} with field: position is missing, a joint output needs the joints' names and topic"
    raise ConfigError(contract.source, [fault])
