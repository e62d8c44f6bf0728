"""Valid names of ROS topics (https://design.ros2.org/articles/topic_and_service_names.html). Pure."""

from __future__ import annotations

import re

_TOPIC = re.compile(r"(?:~?/)?[A-Za-z_][A-Za-z0-9_]*(?:/[A-Za-z_][A-Za-z0-9_]*)*")


def topic_fault(name: str) -> str:
    """The reason why a topic name is invalid; empty if it is valid."""
    if _TOPIC.fullmatch(name) and "__" not in name:
        return ""
    return "must be a topic's name: letters, digits and '_' between '/', no part beginning with a digit"
