"""A robot, an arbiter and a driver around the recorder as a process; for tests over DDS."""

from collections.abc import Callable

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image, JointState
from spinning import spin_until
from std_srvs.srv import Trigger

from apo_core.ros.conversions import array_to_pose, image_to_msg, to_floats, to_stamp
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_core.types import ControlSource
from apo_interfaces.msg import ActionCommand, EpisodeEvent, OperatorCommand, OperatorLedger, TaskStatus
from apo_interfaces.srv import EndEpisode, StartEpisode

WAIT_S = 30.0  # limit of a wait for something that will come
PERIOD_NS = 100_000_000
POLICY, HUMAN, HOLD = ControlSource.POLICY, ControlSource.HUMAN, ControlSource.HOLD


class Cell:
    """Robot, arbiter and driver in one: publishes ticks, calls the recorder, receives its events."""

    def __init__(self, make_observation):
        self.node = rclpy.create_node("cell")
        self._observation = make_observation
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.events: list[EpisodeEvent] = []
        qos = sensors("reliable")
        self._image = self.node.create_publisher(Image, "front/image_raw", qos)
        self._pose = self.node.create_publisher(PoseStamped, "ee_pose", qos)
        self._gripper = self.node.create_publisher(JointState, "gripper/joint_states", qos)
        self.command_pub = self.node.create_publisher(ActionCommand, "command", COMMANDS)
        self._status = self.node.create_publisher(TaskStatus, "task/status", COMMANDS)
        self.operator = self.node.create_publisher(OperatorCommand, "operator/command", COMMANDS)
        self.publishers = [self._image, self._pose, self._gripper, self.command_pub, self._status, self.operator]
        self.diagnostics: dict[str, str] = {}
        self.diagnosis = ""
        self.parts: dict[str, DiagnosticStatus] = {}  # of the recorder, by the names of their statuses
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, COMMANDS)
        self.node.create_subscription(EpisodeEvent, "recorder/event", self.events.append, COMMANDS)
        self.ledgers: list[OperatorLedger] = []
        self.node.create_subscription(OperatorLedger, "recorder/ledger", self.ledgers.append, LATCHED)
        self._start = self.node.create_client(StartEpisode, "recorder/start_episode")
        self._end = self.node.create_client(EndEpisode, "recorder/end_episode")
        self._undo = self.node.create_client(Trigger, "recorder/undo_last")

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostics = {pair.key: pair.value for pair in message.status[0].values}
        self.diagnosis = message.status[0].message
        self.parts = {status.name: status for status in message.status[1:]}

    def spin_until(self, condition: Callable[[], object], what: str = "what was waited for") -> None:
        spin_until(self._executor, condition, what, WAIT_S)

    def wait_connected(self) -> None:
        self.spin_until(
            lambda: (
                all(publisher.get_subscription_count() for publisher in self.publishers)
                and self.node.count_publishers("recorder/event")
                and self._start.service_is_ready()
                and self._end.service_is_ready()
                and self._undo.service_is_ready()
            )
        )

    def observe(self, tick: int, width: float | None = None, image: np.ndarray | None = None) -> None:
        observation = self._observation(tick * PERIOD_NS)
        if width is not None:
            observation.state["width"][0] = width
        stamp = to_stamp(tick * PERIOD_NS)
        pose = PoseStamped(pose=array_to_pose(observation.state["ee_pose"]))
        gripper = JointState(name=["finger"], position=observation.state["width"].astype(float).tolist())
        pose.header.stamp = gripper.header.stamp = stamp
        self._pose.publish(pose)
        self._gripper.publish(gripper)
        picture = observation.images["front"] if image is None else image
        self._image.publish(image_to_msg(picture, tick * PERIOD_NS, "front"))

    def command(
        self, tick: int, source: ControlSource = POLICY, fill: float | None = None, stamp_ns: int | None = None
    ) -> None:
        stamp = to_stamp(tick * PERIOD_NS if stamp_ns is None else stamp_ns)
        action = np.full(7, tick / 1000 if fill is None else fill, np.float32)
        message = ActionCommand(
            tick=tick,
            values=to_floats(action),
            source=source.value,
            reason=f"tick {tick}",
            observation_stamp=stamp,
            chunk_stamp=stamp,
            policy_values=to_floats(None if source is HOLD else -action),
            policy_tokens=[] if source is HOLD else range(tick, tick + 7),
            human_values=to_floats(action if source is HUMAN else None),
            adapter_version=4,
            clipped="vx",
        )
        message.header.stamp = stamp
        self.command_pub.publish(message)

    def tick(self, tick: int, source: ControlSource = POLICY) -> None:
        self.observe(tick)
        self.command(tick, source)

    def status(self, tick: int, trial: int, running: bool, **fields) -> None:
        message = TaskStatus(trial=trial, seed=60 + trial, running=running, **fields)
        message.header.stamp = to_stamp(tick * PERIOD_NS)
        self._status.publish(message)

    def start(self, **fields) -> StartEpisode.Response:
        request = StartEpisode.Request(task="Lift", instruction="lift it", operator_name="ann", seed=5, **fields)
        future = self._start.call_async(request)
        self.spin_until(future.done)
        return future.result()

    def end_async(self, outcome: str = "SUCCESS", until: int = 0, **fields) -> rclpy.Future:
        request = EndEpisode.Request(outcome=outcome, reason="requested", until=to_stamp(until * PERIOD_NS), **fields)
        return self._end.call_async(request)

    def end(self, *args, **fields) -> EndEpisode.Response:
        future = self.end_async(*args, **fields)
        self.spin_until(future.done)
        return future.result()

    def undo(self) -> Trigger.Response:
        future = self._undo.call_async(Trigger.Request())
        self.spin_until(future.done)
        return future.result()

    def press(self, event: str) -> None:
        self.operator.publish(OperatorCommand(device="pad", connected=True, events=[event]))

    def count(self, kind: str) -> int:
        return [event.event for event in self.events].count(kind)

    def wait_taken(self, messages: int) -> None:
        """Until the recorder has taken so many messages from each topic: it takes one between two service calls."""
        for _ in range(messages + 5):
            assert not self.start().accepted

    def event(self, kind: str) -> EpisodeEvent:
        self.spin_until(lambda: any(event.event == kind for event in self.events))
        return next(event for event in self.events if event.event == kind)
