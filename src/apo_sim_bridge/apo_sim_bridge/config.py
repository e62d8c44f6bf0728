"""Parameters of the simulation bridge (config/sim_bridge.yaml)."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.actions import SIZE
from apo_core.config.parameters import group, parameter
from apo_core.contract.contract import Contract
from apo_core.errors import ConfigError
from apo_core.tasks.specs import DEFAULT_TASK, fill_from_task, task_names
from apo_sim_bridge.perturbation.settings import Perturbation
from apo_sim_bridge.sim.env import GRIPPER_CLOSED_M, GRIPPER_OPEN_M, SimConfig

RENDERERS = ("auto", "egl", "osmesa")


@dataclass(frozen=True, slots=True)
class SimBridgeConfig:
    """What the bridge simulates and how it keeps time."""

    contract_file: str = parameter("config/contract.yaml", "the contract; gives rate, topics and image sizes")
    lockstep: bool = parameter(
        False, "true: simulated time waits for the command of each tick; false: a wall timer at the contract's rate"
    )
    largest_pace: float = parameter(
        0.0,
        "lockstep: simulated s a wall s at most, 1: real time, as `apo up` sets it; 0: as fast as commands come",
        low=0.0,
        high=1000.0,
    )
    task: str = parameter(DEFAULT_TASK.name, "task to simulate", choices=task_names())
    cameras: tuple[str, ...] = parameter(
        ("agentview=agentview", "wrist=robot0_eye_in_hand"), "image of the contract = camera of the simulation"
    )
    command_topic: str = parameter(
        "cartesian_command", "geometry_msgs/TwistStamped for the arm, the contract's frame; stamp: its observation"
    )
    gripper_topic: str = parameter(
        "gripper_command",
        "trajectory_msgs/JointTrajectory for the gripper, joint gripper_width, "
        f"{GRIPPER_CLOSED_M:g} .. {GRIPPER_OPEN_M:g} m; the same stamp",
    )
    horizon: int = parameter(
        0, "steps after which a trial without success is truncated; 0: the task's", low=0, high=100_000
    )
    success_hold_steps: int = parameter(0, "consecutive steps that must show success; 0: the task's", low=0, high=1000)
    command_timeout_s: float = parameter(
        0.2, "real time: s without a twist after which the arm stands still", low=0.01, high=10.0
    )
    lockstep_repeat_s: float = parameter(
        2.0,
        "lockstep: s without an answer after which a tick is published again (late joiners); below the arbiter's "
        "lockstep_deadline_s",
        low=0.5,
        high=600.0,
    )
    seed: int = parameter(
        0, "seed of the scene before the first reset, and of the first automatic one", low=0, high=2**53
    )
    auto_reset: bool = parameter(False, "start a trial by itself, each with the next seed; false: wait for ~/reset")
    auto_reset_delay_s: float = parameter(2.0, "wall time between trials with auto_reset", low=0.0, high=3600.0)
    renderer: str = parameter("auto", "GL library; auto takes MUJOCO_GL, else the first that works", choices=RENDERERS)
    sensor_reliability: str = parameter("reliable", "QoS of images and state", choices=("reliable", "best_effort"))
    perturbation: Perturbation = group(Perturbation)

    def __post_init__(self) -> None:
        fill_from_task(self, "horizon", "success_hold_steps")


def sim_config(config: SimBridgeConfig, contract: Contract) -> SimConfig:
    """What to simulate so that it fits the contract.

    Raises:
        ConfigError: images the simulation cannot give, with every fault.
    """
    faults = []
    cameras = dict(entry.partition("=")[::2] for entry in config.cameras)
    if set(cameras) != set(contract.image_names):
        faults.append(f"cameras = {list(config.cameras)} must name the images of the contract: {contract.image_names}")
    sizes = {(image.height, image.width) for image in contract.images}
    if len(sizes) != 1:
        faults.append(f"images of {contract.source} have sizes {sorted(sizes)}, the simulation renders one size")
    faults += [
        f"images.{image.name}.encoding = {image.encoding!r} in {contract.source}, the simulation publishes rgb8"
        for image in contract.images
        if image.encoding != "rgb8"
    ]
    if contract.action.size != SIZE:
        faults.append(f"action of {contract.source} has {contract.action.size} values, the simulated arm takes {SIZE}")
    if faults:
        raise ConfigError("config/sim_bridge.yaml", faults)
    height, width = sizes.pop()
    return SimConfig(
        task=config.task,
        camera_height=height,
        camera_width=width,
        cameras=cameras,
        rate_hz=contract.rate_hz,
        horizon=config.horizon,
        perturbation=config.perturbation,
    )
