"""The tip's pose from joint positions, for arms whose drivers publish none. Pure but for reading `urdf_file`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apo_core.config.parameters import parameter
from apo_core.contract.contract import Contract
from apo_core.contract.specs import StateSpec
from apo_core.contract.topic_names import topic_fault
from apo_core.errors import ConfigError, ObservationError
from apo_teleop.outputs.kinematics import Arm

_LINKS = ("base_link", "tip_link")


@dataclass(frozen=True, slots=True)
class TipPoseConfig:
    """Parameters of the node tip_pose. Raises ConfigError with every fault found."""

    contract_file: str = parameter("config/contract.yaml", "the contract; has ee_pose, joint_position and frame_id")
    urdf_file: str = parameter("", "URDF of the robot; empty: taken from robot_description_topic")
    robot_description_topic: str = parameter("robot_description", "latched topic with the URDF")
    base_link: str = parameter("", "link of the URDF that is the contract's frame_id")
    tip_link: str = parameter("", "link of the URDF whose pose is the contract's ee_pose")
    largest_rate_hz: float = parameter(
        50.0, "Hz, at which poses are published at most; joint states between them are skipped", low=0.1, high=1000.0
    )
    sensor_reliability: str = parameter(
        "reliable", "QoS of the joint states and of ee_pose", choices=("reliable", "best_effort")
    )

    def __post_init__(self) -> None:
        faults = []
        if not self.urdf_file and not self.robot_description_topic:
            faults.append("urdf_file = '' and robot_description_topic = '': one of them must name the URDF")
        topic = self.robot_description_topic
        if topic and topic_fault(topic):
            faults.append(f"robot_description_topic = {topic!r} {topic_fault(topic)}")
        if faults:
            raise ConfigError("config/tip_pose.yaml", faults)


class TipPose:
    """Forward kinematics of the contract's arm, at a limited rate.

    Args:
        config: links, rate; `urdf_file` is read here.
        contract: names of the joints.

    Raises:
        ConfigError: a link has no name, `urdf_file` does not fit, or the contract lacks ee_pose or joint_position.
    """

    def __init__(self, config: TipPoseConfig, contract: Contract):
        faults = [f"{name} = '' must name a link of the URDF" for name in _LINKS if not getattr(config, name)]
        if faults:
            raise ConfigError("config/tip_pose.yaml", faults)
        self._config = config
        self.pose, self.joints = _state(contract, "ee_pose", ""), _state(contract, "joint_position", "position")
        self._arm: Arm | None = None
        self._no_arm = f"no robot description on {config.robot_description_topic}"
        self._period_ns, self._last_ns = round(1e9 / config.largest_rate_hz), 0
        if config.urdf_file:
            self._arm = self._load(_read(config.urdf_file), config.urdf_file)

    def on_description(self, urdf: str) -> str:
        """The robot's URDF arrived; returns why it cannot be used, empty where it can."""
        try:
            self._arm = self._load(urdf, f"the URDF on {self._config.robot_description_topic}")
        except ConfigError as error:
            self._arm, self._no_arm = None, str(error)
            return self._no_arm
        return ""

    def at(self, positions: np.ndarray, stamp_ns: int) -> np.ndarray | None:
        """The tip's pose (7,): x y z [m], quaternion xyzw, in the base link's axes; None where the rate skips it.

        Args:
            positions: (n,) rad (m), in the contract's order.
            stamp_ns: time of the measurement, ns.

        Raises:
            ObservationError: no usable URDF yet, or positions that are not finite.
        """
        if self._arm is None:
            raise ObservationError(self._no_arm)
        if not np.all(np.isfinite(positions)):
            raise ObservationError(f"joint positions are not finite: {np.asarray(positions).tolist()}")
        if 0 <= stamp_ns - self._last_ns < self._period_ns:
            return None
        self._last_ns = stamp_ns
        posture = self._arm.at(positions)
        return np.concatenate([posture.position, posture.quaternion])

    def _load(self, urdf: str, source: str) -> Arm:
        config = self._config
        try:
            return Arm(urdf, config.base_link, config.tip_link, self.joints.joints, source)
        except ConfigError:
            raise
        except Exception as error:  # the description is somebody else's
            raise ConfigError(source, [f"cannot be used: {type(error).__name__}: {error}"]) from error


def _state(contract: Contract, name: str, field: str) -> StateSpec:
    for spec in contract.state:
        if spec.name == name and spec.field == field:
            return spec
    wanted = f" with field: {field}" if field else ""
    raise ConfigError(contract.source, [f"state.{name}{wanted} is missing, the node tip_pose needs it"])


def _read(file: str) -> str:
    try:
        return Path(file).read_text()
    except (OSError, UnicodeError) as error:
        raise ConfigError("config/tip_pose.yaml", [f"urdf_file = {file!r} cannot be read: {error}"]) from None
