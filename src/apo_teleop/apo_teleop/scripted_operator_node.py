"""The scripted operator as a ROS node: answers every tick of the simulation with a sample; `teleop_node` makes it."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseArray, PoseStamped
from sensor_msgs.msg import JointState

from apo_core.errors import ConfigError, ObservationError
from apo_core.ros.conversions import pose_to_array, state_from_msg, to_ns
from apo_core.ros.qos import COMMANDS
from apo_core.tasks.scene import ExpertInput
from apo_core.types import OperatorEvent
from apo_interfaces.msg import ControlStatus, TaskStatus
from apo_teleop.devices.config import SCRIPTED
from apo_teleop.devices.scripted_operator import ScriptedInput, ScriptedOperator, see_objects
from apo_teleop.devices.scripted_tick_join import TickJoin
from apo_teleop.ros.operator_node import OperatorNode

_ESTOP = "ESTOP"  # of ControlStatus; who stopped the robot clears it


class ScriptedOperatorNode(OperatorNode):
    """Joins the messages of one tick by their stamp and publishes the operator's answer to it."""

    def __init__(self) -> None:
        super().__init__(SCRIPTED)
        self._operator = ScriptedOperator(self._config.scripted, self._contract.period_ns)
        self._operator.enabled = self._config.start_enabled
        try:
            pose, self._gripper = (self._contract.state_spec(name) for name in ("ee_pose", "gripper_width"))
        except ObservationError as error:
            raise ConfigError(self._contract.source, [f"device = scripted: {error}"]) from None
        self._is_latched = False
        self.create_subscription(ControlStatus, "control/status", self._on_control, COMMANDS)
        self._join = TickJoin(("pose", "gripper", "objects", "status"))
        for kind, topic, name in (
            (PoseStamped, pose.topic, "pose"),
            (JointState, self._gripper.topic, "gripper"),
            (PoseArray, "ground_truth/objects", "objects"),
        ):
            self.subscribe(kind, topic, partial(self._on_part, name))
        self.create_subscription(TaskStatus, "task/status", partial(self._on_part, "status"), COMMANDS)

    @property
    def summary(self) -> dict[str, str]:
        """See OperatorNode."""
        return self._operator.summary

    def enable(self, enabled: bool) -> None:
        """See OperatorNode."""
        self._operator.enabled = enabled

    def _on_control(self, message: ControlStatus) -> None:
        self._is_latched = message.latched and message.state != _ESTOP

    def _on_part(self, name: str, message: Any) -> None:
        stamp_ns = to_ns(message.header.stamp)
        parts = self._join.add(name, stamp_ns, message)
        if parts is None:
            return
        try:
            tick = self._tick(stamp_ns, parts)
        except ObservationError as error:
            self.get_logger().error(f"tick not answered: {error}", throttle_duration_sec=5.0)
            return
        sample = self._operator.step(tick)
        if self._operator.enabled and tick.running:  # it watches, whether or not it ever moves
            sample = dataclasses.replace(sample, events=(OperatorEvent.PRESENT, *sample.events))
        self.publish(sample, stamp_ns)

    def _tick(self, stamp_ns: int, parts: dict[str, Any]) -> ScriptedInput:
        hand = pose_to_array(parts["pose"].pose).astype(float)
        width = float(state_from_msg(parts["gripper"], self._gripper)[0])
        poses, status = [pose_to_array(pose).astype(float) for pose in parts["objects"].poses], parts["status"]
        state = ExpertInput(hand[:3], hand[3:], width, see_objects(self._config.scripted.task, poses))
        return ScriptedInput(stamp_ns, state, status.trial, status.seed, status.step, status.running, self._is_latched)
