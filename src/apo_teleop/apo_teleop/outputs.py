"""What the robot is sent for each command of the arbiter: a twist, a pose, or joint motion. Pure.

A command is a twist in the contract's frame with the time at which it was decided. Every output gives exactly one
value for every command; None only before anything is known of where the robot is, when no target is safe.
All times are of one clock: the steady one, in lockstep that of the observations' stamps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path

import numpy as np

from apo_core.contract import Contract
from apo_core.errors import ConfigError
from apo_core.rotations import canonical_quaternion
from apo_teleop.kinematics import Arm, TwistSolver
from apo_teleop.output_config import JOINT_OUTPUTS, OutputConfig

_JOINT_STATE = "joint_position"  # key of the contract's state
_PERIODS = 2  # a target moves on by at most this many control periods at once, and towards no older measurement
_SMALL = 1e-9  # m, rad; less is rounding


class ArmOutput(ABC):
    """Turns commands into what one kind of controller takes; what a kind needs to know of the robot it overrides."""

    joints: tuple[str, ...] = ()  # the arm's, in the order of every joint vector; only of a joint output

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


class TwistOutput(ArmOutput):
    """The command itself: (6,) float64, m/s and rad/s."""

    def command(self, twist: np.ndarray, now_ns: int) -> np.ndarray:
        """See ArmOutput."""
        return np.asarray(twist, np.float64)


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

    def __init__(self, config: OutputConfig, contract: Contract):
        self._contract = contract
        self._lead_m, self._lead_rad = config.pose_lead_m, config.pose_lead_rad
        self._elapsed = _Elapsed(1.0 / contract.rate_hz)
        self._fresh_ns, self._max_age_ns = _PERIODS * contract.period_ns, round(contract.max_age_s * 1e9)
        self._held = 0
        self.restart()

    def on_pose(self, position: np.ndarray, quaternion: np.ndarray, taken_ns: int) -> None:
        """See ArmOutput; what is not a pose is ignored."""
        values = np.concatenate([position, quaternion]).astype(np.float64)
        if np.all(np.isfinite(values)) and np.linalg.norm(values[3:]) > 0.5:
            self._measured, self._taken_ns = (values[:3], canonical_quaternion(values[3:])), taken_ns

    def restart(self) -> None:
        """See ArmOutput."""
        self._measured: tuple[np.ndarray, np.ndarray] | None = None
        self._target: tuple[np.ndarray, np.ndarray] | None = None
        self._taken_ns = 0
        self._elapsed.restart()

    def fault(self, now_ns: int) -> str:
        """See ArmOutput."""
        if self._measured is None:
            return "no end-effector pose to begin a pose target at"
        age_ns, contract = now_ns - self._taken_ns, self._contract
        if age_ns > self._max_age_ns:
            return (
                f"end-effector pose is {age_ns * 1e-9:.3f} s old, max_age_s = {contract.max_age_s} in {contract.source}"
            )
        if self._target is None and age_ns > self._fresh_ns:
            return f"end-effector pose is {age_ns * 1e-9:.3f} s old, {_begins_at(contract)}"
        return ""

    def command(self, twist: np.ndarray, now_ns: int) -> np.ndarray | None:
        """See ArmOutput."""
        dt_s = self._elapsed.since_last(now_ns)
        is_fresh = now_ns - self._taken_ns <= self._fresh_ns
        if self._target is None:
            if self._measured is None or not is_fresh:
                return None
            self._target = self._measured
        way, limits = np.asarray(twist, np.float64) * dt_s, self._contract.limits
        largest_m, largest_rad = limits.linear_speed * dt_s, limits.angular_speed * dt_s
        (position, quaternion), (at, facing) = self._target, self._measured
        moved = position + shortened(way[:3], largest_m)
        # the arm may be late: no command leads the target out of the box, or further out
        moved = np.clip(moved, np.minimum(limits.workspace_low, position), np.maximum(limits.workspace_high, position))
        turned = rotated(quaternion, shortened(way[3:], largest_rad))
        # an old pose says nothing of where to go back to: a target beyond the lead then only goes no further
        lead_m = self._lead_m if is_fresh else max(self._lead_m, float(np.linalg.norm(position - at)))
        ahead, held = moved - at, False
        if np.linalg.norm(ahead) > lead_m + _SMALL:
            moved, held = position + shortened(at + shortened(ahead, lead_m) - position, largest_m), True
        lead_rad = self._lead_rad
        if not is_fresh:
            lead_rad = max(lead_rad, float(np.linalg.norm(turn_between(facing, quaternion))))
        ahead = turn_between(facing, turned)
        if np.linalg.norm(ahead) > lead_rad + _SMALL:
            within = rotated(facing, shortened(ahead, lead_rad))
            turned, held = rotated(quaternion, shortened(turn_between(quaternion, within), largest_rad)), True
        self._held += held
        self._target = moved, turned
        return np.concatenate(self._target)

    def summary(self) -> dict[str, str]:
        """How many commands the lead has changed."""
        return {"held_at_lead": str(self._held)}


class JointOutput(ArmOutput):
    """Joint velocity (n,) rad/s (m/s), or joint targets (n,) rad (m), in the contract's order.

    A target begins at the measured joints once, with the first command after a restart; from then on it moves by no
    more than the URDF's speed times `joint_speed_share`, whoever commands. A command that would lead a joint further
    than `joint_lead_rad` from where it was measured is slowed, its direction kept; where a joint itself has gone
    further away, its target comes back into the lead at that speed, and only towards joints measured just now.
    Without usable joint states there is no motion: the velocity is zero, a target stays where it was.

    Args:
        config: limits; `output` says which of the two.
        contract: rate, names of the joints.

    Raises:
        ConfigError: the contract names no joints, or the URDF does not fit.
    """

    def __init__(self, config: OutputConfig, contract: Contract):
        self._config, self._contract, self.joints = config, contract, joint_names(contract)
        self._is_velocity = config.output == "joint_velocity"
        self._elapsed = _Elapsed(1.0 / contract.rate_hz)
        self._fresh_ns, self._max_age_ns = _PERIODS * contract.period_ns, round(config.joint_state_max_age_s * 1e9)
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
        self._position: np.ndarray | None = None  # of the end effector, as measured
        self._measured: np.ndarray | None = None
        self._target: np.ndarray | None = None
        self._fault, self._taken_ns = f"no joint state with {list(self.joints)}", 0
        self._elapsed.restart()

    def fault(self, now_ns: int) -> str:
        """See ArmOutput."""
        if self._no_arm or self._fault:
            return self._no_arm or self._fault
        age_ns = now_ns - self._taken_ns
        if age_ns > self._max_age_ns:
            return f"joint state is {age_ns * 1e-9:.3f} s old, joint_state_max_age_s = {self._max_age_ns * 1e-9:g}"
        if self._position is None:
            return "no end-effector pose to compare the kinematics with"
        apart_m = float(np.linalg.norm(self._arm.at(self._measured).position - self._position))
        if not apart_m <= self._config.kinematics_tolerance_m:
            return (
                f"ee_pose is {apart_m:.3f} m from {self._config.tip_link!r} as the joints have it in the axes of "
                f"{self._config.base_link!r}, kinematics_tolerance_m = {self._config.kinematics_tolerance_m}"
            )
        if self._target is None and not self._is_velocity and age_ns > self._fresh_ns:
            return f"joint state is {age_ns * 1e-9:.3f} s old, {_begins_at(self._contract)}"
        return ""

    def command(self, twist: np.ndarray, now_ns: int) -> np.ndarray | None:
        """See ArmOutput."""
        dt_s = self._elapsed.since_last(now_ns)
        if self.fault(now_ns):
            return np.zeros(len(self.joints)) if self._is_velocity else self._target
        if self._is_velocity:
            return self._solve(self._measured, twist)
        if self._target is None:
            self._target = self._measured
        target, measured, lead = self._target, self._measured, self._config.joint_lead_rad
        moved = target + self._within_lead(self._solve(target, twist) * dt_s)
        if now_ns - self._taken_ns <= self._fresh_ns:
            largest = self._solver.speed * dt_s
            moved = target + np.clip(np.clip(moved, measured - lead, measured + lead) - target, -largest, largest)
        low, high = self._solver.lower, self._solver.upper
        # a joint that stands beyond a limit is not pulled back: it may only not go further
        self._target = np.clip(moved, np.minimum(low, target), np.maximum(high, target))
        return self._target

    def _within_lead(self, step: np.ndarray) -> np.ndarray:
        """A step (n,) of the target, shortened as a whole until no joint's lead grows beyond the largest."""
        ahead, size = self._target - self._measured, np.abs(step)
        room = np.maximum(np.maximum(np.abs(ahead), self._config.joint_lead_rad) - np.sign(step) * ahead, 0.0)
        share = 1.0
        for i in np.flatnonzero(size > room + _SMALL):
            self._limits[f"joint_lead.{self.joints[i]}"] += 1
            share = min(share, room[i] / size[i])
        self._scale *= share
        return step * share

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
    return PoseOutput(config, contract) if config.output == "pose" else TwistOutput()


def _read(file: str) -> str:
    try:
        return Path(file).read_text()
    except (OSError, UnicodeError) as error:
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


def turn_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) [rad], at most pi long, in the fixed axes: that which `rotated` leads from start to end.

    Args:
        start, end: orientations, unit quaternions (4,) xyzw.
    """
    vector = start[3] * end[:3] - end[3] * start[:3] - np.cross(end[:3], start[:3])
    scalar = float(start @ end)
    if scalar < 0:
        vector, scalar = -vector, -scalar
    length = float(np.linalg.norm(vector))
    return vector * (2.0 * np.arctan2(length, scalar) / length if length > 1e-12 else 2.0)


def shortened(vector: np.ndarray, longest: float) -> np.ndarray:
    """The vector, or that of the same direction and of length `longest` if it is longer."""
    length = float(np.linalg.norm(vector))
    return vector if length <= longest else vector * (longest / length)


def _begins_at(contract: Contract) -> str:
    """What a target may begin at, for people."""
    oldest_s = _PERIODS / contract.rate_hz
    return f"a target begins at one of at most {oldest_s:g} s, {_PERIODS} periods of rate_hz in {contract.source}"


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
