"""Headers of messages, checked for the one frame of all motion. Pure; nothing is transformed."""

from __future__ import annotations

from typing import NamedTuple

from apo_core.contract.contract import Contract


class Header(NamedTuple):
    """Frame and stamp of a message."""

    stamp_ns: int  # ROS time
    frame_id: str = ""  # empty: not named


def frame_fault(frame_id: str, contract: Contract, robot_frame: str = "") -> str:
    """The reason to reject a message in this frame; empty if it is accepted.

    A message that names no frame is taken to be in the contract's.

    Args:
        frame_id: of the message's header.
        contract: the frame that all motion is in.
        robot_frame: the robot's name for that frame (output_frame), for what the robot reports.
    """
    if not frame_id or frame_id in (contract.frame_id, robot_frame):
        return ""
    known = f"frame_id = {contract.frame_id!r} in {contract.source}"
    if robot_frame:
        known += f", output_frame = {robot_frame!r} in config/arbiter.yaml"
    return f"has the frame {frame_id!r}, must have {known}"


class UnnamedFrames:
    """Reports once for each topic that its messages name no frame.

    Args:
        contract: the frame they are taken to be in.
    """

    def __init__(self, contract: Contract):
        self._contract = contract
        self._reported: set[str] = set()

    def warning(self, topic: str, header: Header) -> str:
        """The warning to log about a message; empty if there is none."""
        if header.frame_id or topic in self._reported:
            return ""
        self._reported.add(topic)
        return f"{topic}: header.frame_id is empty, taken for {self._contract.frame_id!r} of {self._contract.source}"
