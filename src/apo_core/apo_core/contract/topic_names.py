"""What a ROS topic may be called (https://design.ros2.org/articles/topic_and_service_names.html). Pure."""

from __future__ import annotations

import re

_TOPIC = re.compile(r"(?:~?/)?[A-Za-z_][A-Za-z0-9_]*(?:/[A-Za-z_][A-Za-z0-9_]*)*")


def topic_fault(name: str) -> str:
    """Why there can be no topic of this name, empty if there can."""
    if _TOPIC.fullmatch(name) and "__" not in name:
        return ""
    return "must be a topic's name: letters, digits and '_' between '/', no part beginning with a digit"
