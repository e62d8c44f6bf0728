"""Variables of the environment that ROS 2 reads, checked before it does: its own errors are tracebacks, or silent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from apo_core.errors import ConfigError

LARGEST_DOMAIN = 232  # of DDS's UDP ports (RTPS 2.3, 9.6.1.1)
# Jazzy reads the first name, Kilted and later the second.
_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
_PROFILES = ("fastdds_loopback", "fastdds_network")  # of scripts/env.sh; beside <name>.xml lies <name>_udp.xml


def check_environment(environment: Mapping[str, str]) -> None:
    """Raises ConfigError for a ROS_DOMAIN_ID that no node can use."""
    text = environment.get("ROS_DOMAIN_ID", "").strip()
    if text and not (text.isdecimal() and int(text) <= LARGEST_DOMAIN):
        raise ConfigError("environment", [f"ROS_DOMAIN_ID = {text!r} must be a whole number of 0 .. {LARGEST_DOMAIN}"])


def transport_environment(environment: Mapping[str, str], *, has_images: bool) -> dict[str, str]:
    """Variables that choose the transport of a process; none where the caller has chosen a profile of their own.

    A process that is killed leaves shared memory as it is at that moment, and another one that uses it can crash or
    block. So only processes with images use it, whose frames UDP would lose.

    Args:
        environment: with the profile and the range that `scripts/env.sh` has set.
        has_images: whether the process sends or receives images.
    """
    chosen = {environment[name] for name in _PROFILE_VARIABLES if environment.get(name)}
    file = Path(chosen.pop()) if len(chosen) == 1 else Path()
    name = file.stem.removesuffix("_udp")
    if name not in _PROFILES:
        return {}
    wanted = file if has_images else file.with_name(f"{name}_udp.xml")
    if not wanted.is_file():
        return {}
    made = dict.fromkeys(_PROFILE_VARIABLES, str(wanted))
    if name == "fastdds_loopback" and environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE") == "LOCALHOST":
        # rmw_fastrtps adds shared memory to the transports of a profile there; this profile is local by itself
        made["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SYSTEM_DEFAULT"
    return made
