"""Parameters of the live viewers (config/foxglove.yaml, config/rerun.yaml)."""

from __future__ import annotations

from dataclasses import dataclass

from apo_console.config import is_loopback
from apo_core.config.parameters import parameter
from apo_core.errors import ConfigError

_RELIABILITY = ("reliable", "best_effort")
WEB, DESKTOP, RUNNING, FILE = "web", "desktop", "running", "file"


@dataclass(frozen=True, slots=True)
class FoxgloveConfig:
    """Where Foxglove connects. Raises ConfigError with every fault found."""

    contract_file: str = parameter("config/contract.yaml", "the contract; gives cameras and state")
    host: str = parameter("127.0.0.1", "address that is served; it has no token: whoever reaches it sees the robot")
    port: int = parameter(8765, "its port; 0: a free one", low=0, high=65535)
    open_to_network: bool = parameter(False, "permits a host other than loopback")
    tls_certificate: str = parameter("", "PEM file; empty: no TLS")
    tls_key: str = parameter("", "PEM file of its key (PKCS#8)")
    layout_file: str = parameter("", "gets the layout of this contract, for Foxglove's `Import from file`; empty: none")
    sensor_reliability: str = parameter("reliable", "QoS of cameras and state", choices=_RELIABILITY)

    def __post_init__(self) -> None:
        faults = []
        if not is_loopback(self.host) and not self.open_to_network:
            faults.append(_open_fault(self.host))
        if bool(self.tls_certificate) != bool(self.tls_key):
            faults.append("tls_certificate and tls_key are given together or not at all")
        if faults:
            raise ConfigError("config/foxglove.yaml", faults)


@dataclass(frozen=True, slots=True)
class RerunConfig:
    """Which rerun viewer gets the stream. Raises ConfigError with every fault found."""

    contract_file: str = parameter("config/contract.yaml", "the contract; gives cameras and state")
    viewer: str = parameter(
        WEB,
        "web: starts a viewer in the browser; desktop: opens a window; running: one that runs at host and port; "
        "file: none, the stream goes to file",
        choices=(WEB, DESKTOP, RUNNING, FILE),
    )
    host: str = parameter("127.0.0.1", "where the viewer is, or where the started one serves")
    port: int = parameter(9876, "of the viewer's server for streams", low=1, high=65535)
    web_port: int = parameter(9090, "web: port of the page", low=1, high=65535)
    websocket_port: int = parameter(9877, "web: port that the page gets its data from", low=1, high=65535)
    open_to_network: bool = parameter(False, "permits a started viewer on a host other than loopback")
    memory_limit: str = parameter("1GB", "of the started viewer; the oldest data are dropped beyond it")
    file: str = parameter("", "viewer file: recording to write, *.rrd")
    jpeg_quality: int = parameter(85, "of the camera pictures", low=1, high=100)
    sensor_reliability: str = parameter("reliable", "QoS of cameras and state", choices=_RELIABILITY)

    def __post_init__(self) -> None:
        faults = []
        if self.viewer in (WEB, DESKTOP) and not is_loopback(self.host) and not self.open_to_network:
            faults.append(_open_fault(self.host))
        if (self.viewer == FILE) != bool(self.file):
            faults.append(f"file = {self.file!r}: viewer {FILE} needs one, the others take none")
        if faults:
            raise ConfigError("config/rerun.yaml", faults)


def _open_fault(host: str) -> str:
    cure = "use 127.0.0.1 and `ssh -L`, or set open_to_network: true"
    return f"host = {host!r} is open to everybody on that network: {cure}"
