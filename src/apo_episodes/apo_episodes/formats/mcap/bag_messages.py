"""ROS messages of an episode without ROS: what the topics of its contract carried, and the executed commands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from apo_core.action_tokens import known_tokens
from apo_core.contract.contract import Contract
from apo_core.contract.specs import COMPRESSED_IMAGE, ImageSpec, StateSpec
from apo_core.errors import EpisodeToolError
from apo_episodes.episode import Episode
from apo_episodes.files import extra_module

COMMAND_TYPE = "apo_interfaces/msg/ActionCommand"
_SECOND = 1_000_000_000
_JOINT_FIELDS = ("position", "velocity", "effort")


class MessageMaker:
    """Makes messages and serialises them (CDR).

    Args:
        command_definition: ActionCommand.msg.

    Raises:
        EpisodeToolError: rosbags is missing, or the definition is not readable.
    """

    def __init__(self, command_definition: Path):
        typesys = extra_module("rosbags.typesys", "rosbags", "export")
        self.store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
        try:
            self.store.register(typesys.get_types_from_msg(Path(command_definition).read_text(), COMMAND_TYPE))
        except (OSError, typesys.TypesysError) as error:
            raise EpisodeToolError(f"{command_definition}: not a readable message definition ({error})") from None

    def _make(self, kind: str, **fields: Any) -> Any:
        return self.store.types[kind](**fields)

    def _time(self, stamp_ns: int) -> Any:
        seconds, rest = divmod(int(stamp_ns), _SECOND)
        return self._make("builtin_interfaces/msg/Time", sec=seconds, nanosec=rest)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        return self._make("std_msgs/msg/Header", stamp=self._time(stamp_ns), frame_id=frame_id)

    def image(self, spec: ImageSpec, image: np.ndarray, stamp_ns: int) -> Any:
        """The message of a frame (H, W, C); a compressed topic carries it as PNG, without loss."""
        header = self._header(stamp_ns, spec.name)
        image = np.ascontiguousarray(image[:, :, ::-1] if spec.encoding == "bgr8" else image)
        if spec.type == COMPRESSED_IMAGE:
            import cv2

            stored = image[:, :, ::-1] if spec.encoding == "rgb8" else image
            data = cv2.imencode(".png", stored)[1].reshape(-1)
            return self._make(spec.type, header=header, format=f"{spec.encoding}; png compressed", data=data)
        return self._make(
            spec.type,
            header=header,
            height=spec.height,
            width=spec.width,
            encoding=spec.encoding,
            is_bigendian=0,
            step=image.strides[0],
            data=image.view(np.uint8).reshape(-1),
        )

    def states(
        self, contract: Contract, state: Mapping[str, np.ndarray], stamps_ns: Mapping[str, int]
    ) -> Iterator[tuple[int, str, Any]]:
        """(stamp, topic, message) of each state topic.

        Args:
            contract: of the episode.
            state: {key: (n,)} of one step.
            stamps_ns: {key: stamp}.

        Raises:
            EpisodeToolError: a state of a type that is not known here.
        """
        joints: dict[tuple[int, str, tuple[str, ...]], dict[str, np.ndarray]] = {}
        for spec in contract.state:
            values, stamp_ns = state[spec.name].astype(np.float64), stamps_ns[spec.name]
            if spec.type == "sensor_msgs/msg/JointState":
                joints.setdefault((stamp_ns, spec.topic, spec.joints), {})[spec.field] = values
            else:
                yield stamp_ns, spec.topic, self._state(spec, values, self._header(stamp_ns, contract.frame_id))
        for (stamp_ns, topic, names), fields in joints.items():
            parts = {name: fields.get(name, np.zeros(0)) for name in _JOINT_FIELDS}
            header = self._header(stamp_ns, "")
            yield stamp_ns, topic, self._make("sensor_msgs/msg/JointState", header=header, name=list(names), **parts)

    def _state(self, spec: StateSpec, values: np.ndarray, header: Any) -> Any:
        if spec.type == "geometry_msgs/msg/PoseStamped":
            pose = self._make(
                "geometry_msgs/msg/Pose",
                position=self._make("geometry_msgs/msg/Point", **dict(zip("xyz", values[:3], strict=True))),
                orientation=self._make("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", values[3:], strict=True))),
            )
            return self._make(spec.type, header=header, pose=pose)
        for kind, inner, first, second in (
            ("Twist", "twist", "linear", "angular"),
            ("Wrench", "wrench", "force", "torque"),
        ):
            if spec.type == f"geometry_msgs/msg/{kind}Stamped":
                parts = {
                    first: self._make("geometry_msgs/msg/Vector3", **dict(zip("xyz", values[:3], strict=True))),
                    second: self._make("geometry_msgs/msg/Vector3", **dict(zip("xyz", values[3:], strict=True))),
                }
                return self._make(spec.type, header=header, **{inner: self._make(f"geometry_msgs/msg/{kind}", **parts)})
        if spec.type.endswith("MultiArray"):
            layout = self._make("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
            dtype = np.float32 if "Float32" in spec.type else np.float64
            return self._make(spec.type, layout=layout, data=values.astype(dtype))
        if spec.type.startswith("std_msgs/msg/") and spec.size == 1:
            value = float(values[0])
            number = value if "Float" in spec.type else bool(value) if spec.type.endswith("Bool") else int(value)
            return self._make(spec.type, data=number)
        raise EpisodeToolError(f"state '{spec.name}' of type {spec.type} has no message in a bag")

    def command(self, episode: Episode, index: int) -> Any:
        """apo_interfaces/ActionCommand of a step."""

        def present(values: np.ndarray) -> np.ndarray:
            return np.zeros(0, np.float32) if np.isnan(values).any() else values.astype(np.float32)

        stamps = episode.stamps_ns
        size = episode.contract.action.size
        tokens = None if episode.policy_tokens is None else known_tokens(episode.policy_tokens[index], (size,))
        fields = {
            "header": self._header(stamps["command"][index], episode.contract.frame_id),
            "tick": int(episode.ticks[index]),
            "values": episode.executed_actions[index].astype(np.float32),
            "source": str(episode.sources[index]),
            "reason": episode.reasons[index],
            "observation_stamp": self._time(stamps["observation"][index]),
            "chunk_stamp": self._time(stamps["chunk"][index]),
            "policy_values": present(episode.policy_actions[index]),
            "policy_tokens": np.zeros(0, np.int32) if tokens is None else tokens,
            "human_values": present(episode.human_actions[index]),
            "operator_stamp": self._time(0),  # not recorded
            "adapter_version": int(episode.adapter_versions[index]),
            "clipped": episode.clipped[index] if episode.clipped else "",
        }
        return self._make(COMMAND_TYPE, **fields)
