"""Variables of the environment that ROS 2 reads, checked before it does: its own errors are tracebacks, or silent."""

from __future__ import annotations

from collections.abc import Mapping

from apo_core.errors import ConfigError

LARGEST_DOMAIN = 232  # of DDS's UDP ports (RTPS 2.3, 9.6.1.1)


def check_environment(environment: Mapping[str, str]) -> None:
    """Raises ConfigError for a ROS_DOMAIN_ID that no node can use."""
    text = environment.get("ROS_DOMAIN_ID", "").strip()
    if text and not (text.isdecimal() and int(text) <= LARGEST_DOMAIN):
        raise ConfigError("environment", [f"ROS_DOMAIN_ID = {text!r} must be a whole number of 0 .. {LARGEST_DOMAIN}"])
