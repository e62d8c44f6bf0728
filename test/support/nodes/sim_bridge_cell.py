"""A process of the simulation bridge, and what stands for all other nodes around it."""

import hashlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import numpy as np
import rclpy
from geometry_msgs.msg import PoseArray, PoseStamped, TwistStamped
from node_command import node_command
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from spinning import spin_until
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from apo_core.actions import GripperScale
from apo_core.ros.conversions import to_ns, to_stamp
from apo_core.ros.qos import COMMANDS, sensors
from apo_interfaces.msg import TaskStatus
from apo_interfaces.srv import ResetTask

WAIT_S = 60.0  # limit of a wait for something that will come
PERIOD_NS = 50_000_000
HORIZON = 8
STILL = (0.0,) * 6
GRIPPER = GripperScale(0.08, 0.0)
STREAMS = {
    "agentview/image_raw": Image,
    "wrist/image_raw": Image,
    "joint_states": JointState,
    "gripper/joint_states": JointState,
    "ee_pose": PoseStamped,
    "ground_truth/objects": PoseArray,
    "task/status": TaskStatus,
}


class Arm:
    """What stands for all other nodes: takes every topic of the bridge, sends commands, resets."""

    def __init__(self, domain: int):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("arm", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.ticks: dict[int, dict[str, object]] = {}  # stamp -> topic -> message
        self.clock: list[int] = []
        self.on_message: Callable[[str, int], None] = lambda topic, stamp_ns: None
        for topic, kind in STREAMS.items():
            qos = COMMANDS if kind is TaskStatus else sensors("reliable")
            self.node.create_subscription(kind, topic, self._store(topic), qos)
        self.node.create_subscription(Clock, "/clock", lambda m: self.clock.append(to_ns(m.clock)), COMMANDS)
        self._twist = self.node.create_publisher(TwistStamped, "cartesian_command", COMMANDS)
        self._gripper = self.node.create_publisher(JointTrajectory, "gripper_command", COMMANDS)
        self._reset = self.node.create_client(ResetTask, "sim_bridge/reset")

    def close(self) -> None:
        self.node.destroy_node()
        self._executor.shutdown()
        rclpy.shutdown(context=self._context)

    def _store(self, topic: str) -> Callable[[object], None]:
        def store(message: object) -> None:
            stamp_ns = to_ns(message.header.stamp)
            self.ticks.setdefault(stamp_ns, {})[topic] = message
            self.on_message(topic, stamp_ns)

        return store

    def spin_until(self, condition: Callable[[], object], what: str = "what was waited for") -> None:
        spin_until(self._executor, condition, what, WAIT_S)

    def wait_connected(self) -> None:
        self.spin_until(
            lambda: (
                self._reset.service_is_ready()
                and self._twist.get_subscription_count()
                and self._gripper.get_subscription_count()
                and all(self.node.count_publishers(topic) for topic in STREAMS)
            )
        )

    def complete(self) -> list[int]:
        """Stamps of the ticks of which every topic has come."""
        return [stamp for stamp, messages in sorted(self.ticks.items()) if len(messages) == len(STREAMS)]

    def reset(self, seed: int) -> ResetTask.Response:
        future = self._reset.call_async(ResetTask.Request(seed=seed))
        self.spin_until(future.done)
        return future.result()

    def start(self, seed: int) -> int:
        """Resets and returns the stamp of the first complete tick of the trial."""
        before = max(self.ticks, default=0)
        assert self.reset(seed).accepted
        self.spin_until(lambda: [s for s in self.complete() if s > before and self.status(s).running])
        return next(s for s in self.complete() if s > before and self.status(s).running)

    def send(self, observation_ns: int, values=(*STILL, -1.0)) -> None:
        """Sends arm and gripper the action (7,), the gripper first."""
        self.send_gripper(observation_ns, GRIPPER.position(np.float32(values[6])))
        self.send_twist(observation_ns, values[:6])

    def send_twist(self, stamp_ns: int, twist=STILL, frame_id: str = "base") -> None:
        message = TwistStamped()
        message.header.stamp, message.header.frame_id = to_stamp(stamp_ns), frame_id
        linear, angular = message.twist.linear, message.twist.angular
        numbers = np.array(twist, np.float32).astype(float).tolist()
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = numbers
        self._twist.publish(message)

    def send_gripper(self, stamp_ns: int, position: float, joint: str = "gripper_width") -> None:
        message = JointTrajectory(joint_names=[joint], points=[JointTrajectoryPoint(positions=[float(position)])])
        message.header.stamp = to_stamp(stamp_ns)
        self._gripper.publish(message)

    def steps_on(self, stamp_ns: int) -> None:
        """Lockstep: waits for the tick after that of `stamp_ns`."""
        self.spin_until(lambda: self.complete()[-1] > stamp_ns)

    def status(self, stamp_ns: int) -> TaskStatus:
        return self.ticks[stamp_ns]["task/status"]

    def follow(self, first_ns: int) -> list[int]:
        """Answers every tick of a trial from its first one; returns the stamps of all of them."""
        rng = np.random.default_rng(0)
        stamps = [first_ns]
        while self.status(stamps[-1]).running:
            self.send(stamps[-1], [*rng.uniform(-0.3, 0.3, 6), 1.0])
            self.spin_until(lambda: self.complete()[-1] > stamps[-1])
            stamps.append(self.complete()[-1])
        return stamps

    def digest(self, stamp_ns: int) -> str:
        """Hash of everything that was sensed in a tick."""
        messages = self.ticks[stamp_ns]
        digest = hashlib.sha256()
        for topic in ("agentview/image_raw", "wrist/image_raw"):
            digest.update(bytes(messages[topic].data))
        for topic in ("joint_states", "gripper/joint_states"):
            digest.update(repr((messages[topic].name, messages[topic].position, messages[topic].velocity)).encode())
        digest.update(repr((messages["ee_pose"].pose, messages["ground_truth/objects"].poses)).encode())
        return digest.hexdigest()


def launch(domain: int, **parameters) -> subprocess.Popen:
    values = {"contract_file": os.path.abspath("config/contract.yaml"), "horizon": HORIZON, **parameters}
    command = node_command("apo_sim_bridge.sim_bridge_node", values)
    return subprocess.Popen(command, env={**os.environ, "ROS_DOMAIN_ID": str(domain)})


def session(domain: int, meet: Callable[..., None], **parameters) -> Iterator[Arm]:
    process = launch(domain, **parameters)
    arm = Arm(domain)
    try:
        arm.wait_connected()
        meet(arm.node, "sim_bridge", arm.spin_until)
        yield arm
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        arm.close()
