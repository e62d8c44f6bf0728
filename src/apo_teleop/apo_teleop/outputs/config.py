"""Parameters of the arbiter's output to the robot (config/arbiter.yaml)."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.config.parameters import parameter
from apo_core.contract.topic_names import topic_fault
from apo_core.errors import ConfigError

JOINT_OUTPUTS = ("joint_trajectory", "joint_velocity", "joint_position")
OUTPUTS = ("none", "twist", "pose", *JOINT_OUTPUTS)
GRIPPER_OUTPUTS = ("none", "position", "joint_trajectory")
STAMPS = ("now", "observation")


@dataclass(frozen=True, slots=True)
class OutputConfig:
    """What the robot receives; the defaults are those of the simulation. Raises ConfigError with every fault found."""

    output: str = parameter("twist", "message that the arm receives (docs/how-to/real_arm.md)", choices=OUTPUTS)
    output_topic: str = parameter("cartesian_command", "topic of the arm's controller")
    output_frame: str = parameter(
        "",
        "the robot's name for the contract's frame_id: commands have it, ee_pose and feedback may; nothing is "
        "transformed; empty: the contract's",
    )
    output_stamp: str = parameter(
        "observation",
        "stamp of the message: that of the observation it answers, or the time of publication "
        "(now; a joint trajectory then has stamp 0, so that its controller starts at once)",
        choices=STAMPS,
    )
    gripper_output: str = parameter(
        "joint_trajectory", "message that the gripper receives; position: Float64MultiArray", choices=GRIPPER_OUTPUTS
    )
    gripper_topic: str = parameter("gripper_command", "topic of the gripper's controller")
    gripper_joint: str = parameter(
        "gripper_width",
        "joint_trajectory: name of the gripper's joint; of two fingers both, joined by a comma: each receives the same "
        "position",
    )
    gripper_open_m: float = parameter(0.08, "m, position of the open gripper", low=-1.0, high=1.0)
    gripper_closed_m: float = parameter(0.0, "m, position of the closed gripper", low=-1.0, high=1.0)
    trajectory_time_s: float = parameter(
        0.05,
        "joint_trajectory: s until its point is reached, one control period or a little more",
        low=0.001,
        high=1.0,
    )
    pose_lead_m: float = parameter(
        0.05,
        "pose: m that the target may be ahead of the measured pose; no command leads it further",
        low=0.001,
        high=1.0,
    )
    pose_lead_rad: float = parameter(0.3, "pose: the same of the rotation, rad", low=0.001, high=3.0)
    urdf_file: str = parameter("", "joint outputs: URDF of the robot; empty: taken from robot_description_topic")
    robot_description_topic: str = parameter("robot_description", "joint outputs: latched topic with the URDF")
    base_link: str = parameter("", "joint outputs: link of the URDF that is the contract's frame_id")
    tip_link: str = parameter("", "joint outputs: link of the URDF whose pose is the contract's ee_pose")
    kinematics_tolerance_m: float = parameter(
        0.05, "joint outputs: m that ee_pose and the tip link may lie apart before the arm is held", low=0.001, high=1.0
    )
    joint_state_max_age_s: float = parameter(
        0.1, "joint outputs: s after which a joint state is too old", low=0.001, high=10.0
    )
    joint_lead_rad: float = parameter(
        0.2,
        "joint_position, joint_trajectory: rad (m) that a target may be ahead of the measured joint; no command leads "
        "it further",
        low=0.001,
        high=3.0,
    )
    joint_speed_share: float = parameter(0.8, "joint outputs: share of the URDF's speed limits", low=0.01, high=1.0)
    joint_limit_margin_rad: float = parameter(
        0.05, "joint outputs: rad (m) kept from the URDF's position limits", low=0.0, high=1.0
    )
    joint_limit_brake_s: float = parameter(
        0.3, "joint outputs: a joint takes at least this many s to its position limit", low=0.01, high=10.0
    )
    singularity_slow: float = parameter(
        0.08,
        "joint outputs: smallest singular value at which motion into a singularity slows",
        low=1e-4,
        high=1.0,
    )
    singularity_stop: float = parameter(0.02, "joint outputs: value at which it has ended", low=1e-5, high=1.0)
    singularity_damping: float = parameter(
        0.05, "joint outputs: damping of the inverse in a singularity", low=1e-4, high=1.0
    )

    @property
    def gripper_joints(self) -> tuple[str, ...]:
        """The names in `gripper_joint`."""
        return tuple(name.strip() for name in self.gripper_joint.split(","))

    def __post_init__(self) -> None:
        faults = []
        moves, grips = self.output != "none", self.gripper_output != "none"
        if moves and not self.output_topic:
            faults.append(f"output_topic = '' must name the topic of output = {self.output!r}")
        if grips and not self.gripper_topic:
            faults.append(f"gripper_topic = '' must name the topic of gripper_output = {self.gripper_output!r}")
        for name in ("output_topic", "gripper_topic", "robot_description_topic"):
            topic = getattr(self, name)
            if topic and topic_fault(topic):
                faults.append(f"{name} = {topic!r} {topic_fault(topic)}")
        if moves and grips and self.output_topic == self.gripper_topic != "":
            faults.append(f"gripper_topic = {self.gripper_topic!r} must differ from output_topic")
        if self.gripper_output == "joint_trajectory" and not all(self.gripper_joints):
            faults.append(
                f"gripper_joint = {self.gripper_joint!r} must name each joint of gripper_output = 'joint_trajectory'"
            )
        if self.gripper_open_m == self.gripper_closed_m:
            faults.append(f"gripper_closed_m = {self.gripper_closed_m} must differ from gripper_open_m")
        if self.output in JOINT_OUTPUTS:
            if not self.urdf_file and not self.robot_description_topic:
                faults.append(f"urdf_file = '' and robot_description_topic = '': output = {self.output!r} needs a URDF")
            faults += [
                f"{name} = '' must name a link of the URDF for output = {self.output!r}"
                for name in ("base_link", "tip_link")
                if not getattr(self, name)
            ]
        if self.singularity_stop >= self.singularity_slow:
            faults.append(
                f"singularity_stop = {self.singularity_stop} must be below singularity_slow = {self.singularity_slow}"
            )
        if faults:
            raise ConfigError("config/arbiter.yaml", faults)
