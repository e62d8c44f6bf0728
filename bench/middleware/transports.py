"""The Fast DDS settings that are compared, as environment variables of a process that has not imported rclpy yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UDP = ROOT / "config" / "fastdds_loopback_udp.xml"
SHARED_MEMORY = ROOT / "config" / "fastdds_loopback.xml"


@dataclass(frozen=True, slots=True)
class Transport:
    """A discovery range of ROS and a profile of Fast DDS."""

    discovery_range: str  # LOCALHOST makes rmw_fastrtps add a shared-memory and a UDP transport to the profile's
    profile: Path | None  # None: what Fast DDS does by itself

    def environment(self) -> dict[str, str]:
        """Variables to set."""
        names = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
        return {
            "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
            "ROS_AUTOMATIC_DISCOVERY_RANGE": self.discovery_range,
            **(dict.fromkeys(names, str(self.profile)) if self.profile else {}),
        }


TRANSPORTS = {
    "udp": Transport("SYSTEM_DEFAULT", UDP),
    "shm": Transport("SYSTEM_DEFAULT", SHARED_MEMORY),
    "shm_localhost": Transport("LOCALHOST", SHARED_MEMORY),
    "localhost": Transport("LOCALHOST", None),
}
