"""A robot beside the policy node as a process; for tests over DDS."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Pose, PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

from apo_core.contract.contract import load_contract
from apo_core.ros.conversions import image_to_msg, to_ns, to_stamp
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_interfaces.msg import ActionChunk, ActionCommand, ActionDoubt, AdapterStatus
from apo_interfaces.srv import LoadAdapter

CONTRACT_FILE = Path(__file__).parents[3] / "config" / "contract.yaml"
CONTRACT = load_contract(CONTRACT_FILE)
PERIOD_NS = CONTRACT.period_ns
WAIT_S = 60.0  # limit of a wait for something that will come


class Robot:
    """The node's counterpart: publishes observations and commands, and receives chunks."""

    def __init__(self, domain: int):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("robot", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        reliable = sensors("reliable")
        # created first: once the status of the node arrives, it has discovered these clients too
        self.client = self.node.create_client(LoadAdapter, "policy/load_adapter")
        self.rollback_client = self.node.create_client(Trigger, "policy/rollback")
        self.images = {s.name: self.node.create_publisher(Image, s.topic, reliable) for s in CONTRACT.images}
        self.pose = self.node.create_publisher(PoseStamped, "ee_pose", reliable)
        self.joints = self.node.create_publisher(JointState, "joint_states", reliable)
        self.gripper = self.node.create_publisher(JointState, "gripper/joint_states", reliable)
        self.command = self.node.create_publisher(ActionCommand, "command", COMMANDS)
        self.clock = self.node.create_publisher(Clock, "/clock", COMMANDS)
        self.chunks: list[ActionChunk] = []
        self.doubts: list[ActionDoubt] = []
        self.statuses: list[AdapterStatus] = []
        self.node.create_subscription(ActionChunk, "policy/chunk", self.chunks.append, COMMANDS)
        self.node.create_subscription(ActionDoubt, "policy/doubt", self.doubts.append, COMMANDS)
        self.node.create_subscription(AdapterStatus, "policy/adapter_status", self.statuses.append, LATCHED)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, COMMANDS)
        self._diagnostics: DiagnosticArray | None = None
        self.stamp_ns = 100 * PERIOD_NS

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self._diagnostics = message

    def diagnostics(self) -> dict[str, str]:
        """Key and value of the newest message."""
        return {} if self._diagnostics is None else {p.key: p.value for p in self._diagnostics.status[0].values}

    def diagnosis(self) -> str:
        """Text of the newest message."""
        return "" if self._diagnostics is None else self._diagnostics.status[0].message

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Spins until the condition holds."""
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, f"waited {WAIT_S} s for {what}"
            self.executor.spin_once(timeout_sec=0.05)

    def found(self) -> bool:
        """Whether the node is active: it has subscribed to every stream, and its topics are connected."""
        publishers = (*self.images.values(), self.pose, self.joints, self.gripper, self.command, self.clock)
        return (
            all(p.get_subscription_count() for p in publishers)
            and self.node.count_publishers("policy/chunk") > 0
            and self.node.count_publishers("policy/doubt") > 0
            and self.client.service_is_ready()
            and self.rollback_client.service_is_ready()
            and bool(self.statuses)
        )

    def sense(self, gap: int = 1, level: int = 100, x: float = 0.0) -> int:
        """Publishes the observation `gap` ticks later, with the hand at x [m]; returns its stamp."""
        self.stamp_ns += gap * PERIOD_NS
        stamp = to_stamp(self.stamp_ns)
        self.clock.publish(Clock(clock=stamp))
        pose = PoseStamped(pose=Pose())
        pose.header.stamp = stamp
        pose.pose.orientation.w, pose.pose.position.x = 1.0, x
        self.pose.publish(pose)
        names = CONTRACT.state_spec("joint_position").joints
        joints = JointState(name=list(names), position=[0.1 + x] * 7, velocity=[x] * 7)
        gripper = JointState(name=["gripper_width"], position=[0.04])
        joints.header.stamp = gripper.header.stamp = stamp
        self.joints.publish(joints)
        self.gripper.publish(gripper)
        for spec in CONTRACT.images:
            image = np.full((spec.height, spec.width, 3), level, np.uint8)
            self.images[spec.name].publish(image_to_msg(image, self.stamp_ns, spec.name))
        return self.stamp_ns

    def wait(self, ticks: int) -> None:
        """Lets simulated time pass without any message."""
        self.stamp_ns += ticks * PERIOD_NS
        self.clock.publish(Clock(clock=to_stamp(self.stamp_ns)))

    def tick(self, source: str = "POLICY", gap: int = 1, level: int = 100, x: float = 0.0) -> ActionChunk:
        """One tick in lockstep: an observation, its chunk, the command of `source`."""
        stamp_ns = self.sense(gap, level, x)
        self.until(lambda: self.chunks and to_ns(self.chunks[-1].header.stamp) == stamp_ns, f"a chunk for {stamp_ns}")
        command = ActionCommand(source=source, observation_stamp=to_stamp(stamp_ns))
        self.command.publish(command)
        return self.chunks[-1]

    def load(self, version: int) -> LoadAdapter.Response:
        """Asks for an adapter and waits for the answer."""
        future = self.client.call_async(LoadAdapter.Request(version=version))
        self.until(future.done, f"adapter {version}")
        return future.result()

    def roll_back(self) -> Trigger.Response:
        """Asks for what served before and waits for the answer."""
        future = self.rollback_client.call_async(Trigger.Request())
        self.until(future.done, "the rollback")
        return future.result()

    def close(self) -> None:
        self.node.destroy_node()
        self.executor.shutdown()
        self.context.try_shutdown()


def small_checkpoint(folder: Path) -> Path:
    """Writes a very small model of random weights, the same each time, for the shipped contract."""
    from small_policy import plain_statistics, random_model

    from apo_vla.families.small_vla.checkpoint import save_checkpoint
    from apo_vla.families.small_vla.model import SmallVlaConfig
    from apo_vla.inputs.prompt import build_tokenizer

    config = SmallVlaConfig(image_size=32, image_channels=(8, 8, 8), hidden=32, layers=1, heads=2, mlp=32, chunk=4)
    model, tokenizer = random_model(config, seed=3), build_tokenizer(["lift the red cube"])
    save_checkpoint(folder, model, tokenizer, plain_statistics(CONTRACT, config.state_keys), {"made": "test"})
    return folder


def parameter_file(folder: Path, parameters: dict[str, Any]) -> Path:
    file = folder / "policy.yaml"
    file.write_text(yaml.safe_dump({"/**/policy": {"ros__parameters": parameters}}))
    return file


def start(domain: int, folder: Path, parameters: dict[str, Any]) -> subprocess.Popen:
    """The node as a process of its own."""
    file = parameter_file(folder, parameters)
    code = "from apo_policy_node.policy_node import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "--ros-args", "--params-file", str(file)],
        env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
        stderr=subprocess.PIPE,
        text=True,
    )
