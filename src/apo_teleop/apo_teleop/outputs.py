"""What the robot is sent for each command of the arbiter: a twist, a pose, or joint motion. Pure.

A command is a twist in the contract's frame with the time at which it was decided. Every output gives exactly one
value for every command; None only before anything is known of where the robot is, when no target is safe.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path

import numpy as np

from apo_core.contract import Contract
from apo_core.errors import ConfigError
from apo_core.rotations import canonical_quaternion
from apo_core.types import ControlSource
from apo_teleop.kinematics import Arm, TwistSolver
from apo_teleop.output_config import JOINT_OUTPUTS, OutputConfig

_JOINT_STATE = "joint_position"  # key of the contract's state
_PERIODS = 2.0  # a target moves on by at most this many control periods at once


class ArmOutput(ABC):
    """Turns commands into what one kind of controller takes; what a kind needs to know of the robot it overrides."""

    joints: tuple[str, ...] = ()  # the arm's, in the order of every joint vector; only of a joint output

    def on_pose(self, position: np.ndarray, quaternion: np.ndarray) -> None:  # noqa: B027
        """The end effector as measured: (3,) m, (4,) xyzw, frame of the contract."""

    def on_joints(self, positions: np.ndarray | None, fault: str, receive_ns: int) -> None:  # noqa: B027
        """Measured joint positions (n,) rad (m) in the contract's order, or why there are none; steady time."""

    def on_description(self, urdf: str) -> None:  # noqa: B027
        """The robot's URDF arrived."""

    def restart(self) -> None:  # noqa: B027
        """Control begins (again): whatever was sent before counts no more."""

    def fault(self, steady_ns: int) -> str:
        """Why no motion can be computed at this steady time, empty when it can; the arbiter then holds."""
        return ""

    @abstractmethod
    def command(self, twist: np.ndarray, source: ControlSource, clock_ns: int, steady_ns: int) -> np.ndarray | None:
        """The value to send.

        Args:
            twist: (6,) m/s, rad/s.
            source: who decided it.
            clock_ns: when it was decided, on the clock that motion is measured with.
            steady_ns: steady time now.
        """

    def summary(self) -> dict[str, str]:
        """Key and value for /diagnostics."""
        return {}


class TwistOutput(ArmOutput):
    """The command itself: (6,) float64, m/s and rad/s."""

    def command(self, twist: np.ndarray, source: ControlSource, clock_ns: int, steady_ns: int) -> np.ndarray:
        """See ArmOutput."""
        return np.asarray(twist, np.float64)


class PoseOutput(ArmOutput):
    """Pose target (7,): x y z [m], unit quaternion xyzw; the command integrated from the last target.

    Integrating from the measured pose would drag the target after the arm. It is taken up again there when control
    changes hands, and when the arm is more than `pose_lead_m` or `pose_lead_rad` away.

    Args:
        config: lead.
        period_s: of the control ticks.
    """

    def __init__(self, config: OutputConfig, period_s: float):
        self._config = config
        self._elapsed = _Elapsed(period_s)
        self._source: ControlSource | None = None
        self._measured: tuple[np.ndarray, np.ndarray] | None = None
        self._target: tuple[np.ndarray, np.ndarray] | None = None
        self._anchored: Counter[str] = Counter()

    def on_pose(self, position: np.ndarray, quaternion: np.ndarray) -> None:
        """See ArmOutput; what is not a pose is ignored."""
        values = np.concatenate([position, quaternion]).astype(np.float64)
        if np.all(np.isfinite(values)) and np.linalg.norm(values[3:]) > 0.5:
            self._measured = values[:3], canonical_quaternion(values[3:])

    def restart(self) -> None:
        """See ArmOutput."""
        self._source = None
        self._elapsed.restart()

    def fault(self, steady_ns: int) -> str:
        """See ArmOutput; the arbiter itself watches the age of the pose."""
        return "" if self._measured is not None else "no end-effector pose to begin a pose target at"

    def command(self, twist: np.ndarray, source: ControlSource, clock_ns: int, steady_ns: int) -> np.ndarray | None:
        """See ArmOutput."""
        dt_s = self._elapsed.since_last(clock_ns)
        if self._measured is None:
            return None
        cause = self._cause_to_anchor(source)
        if cause:
            self._target = self._measured
            self._anchored[cause] += 1
        self._source = source
        position, quaternion = self._target
        twist = np.asarray(twist, np.float64)
        self._target = position + twist[:3] * dt_s, rotated(quaternion, twist[3:] * dt_s)
        return np.concatenate(self._target)

    def _cause_to_anchor(self, source: ControlSource) -> str:
        if self._target is None or source is not self._source:
            return "change_of_source"
        (position, quaternion), (target, wanted) = self._measured, self._target
        lead_m, lead_rad = float(np.linalg.norm(target - position)), angle_between(wanted, quaternion)
        return "lead" if lead_m > self._config.pose_lead_m or lead_rad > self._config.pose_lead_rad else ""

    def summary(self) -> dict[str, str]:
        """How often the target was taken up again at the measured pose."""
        return {f"target_reset_{cause}": str(count) for cause, count in sorted(self._anchored.items())}


class JointOutput(ArmOutput):
    """Joint velocity (n,) rad/s (m/s), or joint targets (n,) rad (m), in the contract's order.

    Without usable joint states there is no motion: the velocity is zero, a target stays where it was.

    Args:
        config: limits; `output` says which of the two.
        contract: names of the joints.

    Raises:
        ConfigError: the contract names no joints, or the URDF does not fit.
    """

    def __init__(self, config: OutputConfig, contract: Contract):
        self._config, self.joints = config, joint_names(contract)
        self._is_velocity = config.output == "joint_velocity"
        self._elapsed = _Elapsed(1.0 / contract.rate_hz)
        self._max_age_ns = round(config.joint_state_max_age_s * 1e9)
        self._arm: Arm | None = None
        self._solver: TwistSolver | None = None
        self._no_arm = f"no robot description on {config.robot_description_topic}"
        self._position: np.ndarray | None = None  # of the end effector, as measured
        self._measured: np.ndarray | None = None
        self._fault = f"no joint state with {list(self.joints)}"
        self._receive_ns = 0
        self._target: np.ndarray | None = None
        self._source: ControlSource | None = None
        self._limits: Counter[str] = Counter()
        self._scale = 1.0
        if config.urdf_file:
            self._load(_read(config.urdf_file), config.urdf_file)

    def _load(self, urdf: str, source: str) -> None:
        arm = Arm(urdf, self._config.base_link, self._config.tip_link, self.joints, source)
        self._solver, self._arm, self._no_arm = TwistSolver(arm, self._config), arm, ""

    def on_pose(self, position: np.ndarray, quaternion: np.ndarray) -> None:
        """See ArmOutput; compared with the kinematics."""
        self._position = np.asarray(position, np.float64)

    def on_joints(self, positions: np.ndarray | None, fault: str, receive_ns: int) -> None:
        """See ArmOutput."""
        self._receive_ns, self._fault = receive_ns, fault
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
        """See ArmOutput."""
        self._source = None
        self._elapsed.restart()

    def fault(self, steady_ns: int) -> str:
        """See ArmOutput."""
        if self._no_arm or self._fault:
            return self._no_arm or self._fault
        age_ns = steady_ns - self._receive_ns
        if age_ns > self._max_age_ns:
            return f"joint state is {age_ns * 1e-9:.3f} s old, joint_state_max_age_s = {self._max_age_ns * 1e-9:g}"
        if self._position is None:
            return ""
        apart_m = float(np.linalg.norm(self._arm.at(self._measured).position - self._position))
        if apart_m <= self._config.kinematics_tolerance_m:
            return ""
        return (
            f"ee_pose is {apart_m:.3f} m from {self._config.tip_link!r} as the joints have it in the axes of "
            f"{self._config.base_link!r}, kinematics_tolerance_m = {self._config.kinematics_tolerance_m}"
        )

    def command(self, twist: np.ndarray, source: ControlSource, clock_ns: int, steady_ns: int) -> np.ndarray | None:
        """See ArmOutput."""
        dt_s = self._elapsed.since_last(clock_ns)
        if self.fault(steady_ns):
            self._source = None  # begins again at the measured joints
            return np.zeros(len(self.joints)) if self._is_velocity else self._target
        if self._is_velocity:
            return self._solve(self._measured, twist)
        lead = self._target is None or np.max(np.abs(self._target - self._measured)) > self._config.joint_lead_rad
        if lead or source is not self._source:
            self._target = self._measured
        self._source = source
        moved = self._target + self._solve(self._target, twist) * dt_s
        low, high = self._solver.lower, self._solver.upper
        # a joint that stands beyond a limit is not pulled back: it may only not go further
        self._target = np.clip(moved, np.minimum(low, self._target), np.maximum(high, self._target))
        return self._target

    def _solve(self, positions: np.ndarray, twist: np.ndarray) -> np.ndarray:
        motion = self._solver.solve(positions, twist)
        self._scale = motion.scale
        self._limits.update(motion.limits)
        return motion.velocity

    def summary(self) -> dict[str, str]:
        """How much of the wanted speed is possible, and how often each limit was in the way."""
        return {"speed_share": f"{self._scale:.3f}"} | {
            f"slowed {name}": str(count) for name, count in sorted(self._limits.items())
        }


def make_output(config: OutputConfig, contract: Contract) -> ArmOutput | None:
    """The output that `config.output` names; None for `none`.

    Raises:
        ConfigError: see JointOutput.
    """
    if config.output == "none":
        return None
    if config.output in JOINT_OUTPUTS:
        return JointOutput(config, contract)
    return PoseOutput(config, 1.0 / contract.rate_hz) if config.output == "pose" else TwistOutput()


def _read(file: str) -> str:
    try:
        return Path(file).read_text()
    except OSError as error:
        raise ConfigError("config/arbiter.yaml", [f"urdf_file = {file!r} cannot be read: {error}"]) from None


def joint_names(contract: Contract) -> tuple[str, ...]:
    """The arm's joints, in the order of every joint vector.

    Raises:
        ConfigError: the contract has no state `joint_position` that is the position of joints.
    """
    for spec in contract.state:
        if spec.name == _JOINT_STATE and spec.field == "position":
            return spec.joints
    fault = f"state.{_JOINT_STATE} with field: position is missing, a joint output needs the joints' names and topic"
    raise ConfigError(contract.source, [fault])


def rotated(quaternion: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """The unit quaternion (4,) xyzw turned by a rotation vector (3,) [rad] in the fixed axes: exp(rotation / 2) * q."""
    angle = float(np.linalg.norm(rotation))
    # sin(x/2)/x, by its series where the quotient loses digits
    factor = np.sin(angle / 2) / angle if angle > 1e-4 else 0.5 - angle**2 / 48
    turn, w = np.asarray(rotation, np.float64) * factor, np.cos(angle / 2)
    vector, scalar = quaternion[:3], quaternion[3]
    product = np.append(w * vector + scalar * turn + np.cross(turn, vector), w * scalar - turn @ vector)
    return product / np.linalg.norm(product)


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    """Angle [rad], 0..pi, between two orientations, unit quaternions (4,)."""
    apart, together = sorted((float(np.linalg.norm(a - b)), float(np.linalg.norm(a + b))))
    return 4.0 * math.atan2(apart, together)


class _Elapsed:
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
        return min(max((clock_ns - last_ns) * 1e-9, 0.0), _PERIODS * self._period_s)
