"""Parameters of the console (config/console.yaml)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from apo_core.config.parameters import group, parameter
from apo_core.errors import ConfigError
from apo_episodes.labeling import LabelRule

_ROBOT = "{robot} in it stands for the robot's namespace"


@dataclass(frozen=True, slots=True)
class ConsoleConfig:
    """Where the page is served, and who may drive by it. Raises ConfigError with every fault found."""

    contract_file: str = parameter("config/contract.yaml", "the contract; gives cameras and rate")
    host: str = parameter("127.0.0.1", "address that is served; any other than loopback has TLS and needs the token")
    port: int = parameter(8080, "its port; a free one where it is 0 or taken", low=0, high=65535)
    host_names: tuple[str, ...] = parameter(
        ("",), "further names and addresses under which people open the page; empty: none"
    )
    token: str = parameter("", "what the address must contain; empty: a random one at each start")
    address_file: str = parameter("", "gets the address with the token, readable by its owner alone; empty: none")
    tls_certificate: str = parameter("", "PEM file; empty: a self-signed pair in tls_dir where TLS is needed")
    tls_key: str = parameter("", "PEM file of its key")
    tls_dir: str = parameter("runs/tls", "folder of the self-signed pair")
    robots: tuple[str, ...] = parameter(("",), "namespaces of the robots on the page; empty: this node's own")
    episode_dir: str = parameter("runs/episodes", f"the recorder's; {_ROBOT}")
    adapter_dir: str = parameter("runs/adapters", f"the adapter store that promote and roll back act on; {_ROBOT}")
    signing_key: str = parameter("", "private key (PEM) that signs promotions of the page; empty: they are not signed")
    run_dir: str = parameter("runs/training", f"the trainer's; {_ROBOT}")
    export_dir: str = parameter("runs/exports", f"where exported episodes go; {_ROBOT}")
    label_rule: LabelRule = group(LabelRule)
    lease_timeout_s: float = parameter(
        0.12, "s without input after which a holder who moves the robot loses the lease", low=0.02, high=2.0
    )
    lease_rest_timeout_s: float = parameter(
        0.5, "s without input after which a holder at rest loses the lease", low=0.02, high=10.0
    )
    max_round_trip_s: float = parameter(
        0.25, "s, median round trip of a page's line above which it may not drive", low=0.01, high=5.0
    )
    max_viewers: int = parameter(20, "pages that may be open at once", low=1, high=1000)
    jpeg_quality: int = parameter(80, "of the camera pictures on the page", low=1, high=100)
    picture_width: int = parameter(640, "pixels; wider pictures are shrunk", low=16, high=4096)
    input_priority: int = parameter(
        10,
        "SCHED_FIFO priority of the thread that the operator's input passes through, below those of arbiter and "
        "teleop; 0: none",
        low=0,
        high=99,
    )
    sensor_reliability: str = parameter("reliable", "QoS of the cameras", choices=("reliable", "best_effort"))

    def __post_init__(self) -> None:
        faults = []
        if bool(self.tls_certificate) != bool(self.tls_key):
            faults.append("tls_certificate and tls_key are given together or not at all")
        if self.token and len(self.token) < 16:
            faults.append(f"token has {len(self.token)} characters, at least 16 are needed")
        if not self.robots or len(set(self.robots)) != len(self.robots) or len(self.robots) > 255:
            faults.append(f"robots = {list(self.robots)} must be 1 to 255 different namespaces")
        if faults:
            raise ConfigError("config/console.yaml", faults)

    @property
    def is_loopback(self) -> bool:
        """Whether the page is reached from this machine alone."""
        return is_loopback(self.host)

    @property
    def has_tls(self) -> bool:
        """Whether it is served by https."""
        return not self.is_loopback or bool(self.tls_certificate)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
