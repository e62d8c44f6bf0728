"""The console as a ROS node: a page in the browser for one robot or several."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from apo_console.cameras import CameraEncoder
from apo_console.config import ConsoleConfig
from apo_console.library.episodes import EpisodeLibrary
from apo_console.library.learning import LearningLibrary
from apo_console.library.library import ACTIONS, Library
from apo_console.ros.robot_link import RobotLink
from apo_console.server.access import Access, url_host
from apo_console.server.app import make_app
from apo_console.server.files import file_routes
from apo_console.server.hub import Hub
from apo_console.server.robots import Answer
from apo_console.server.server_thread import ServerThread, bound_socket
from apo_console.server.tls import self_signed
from apo_core.adapters.signature import read_signing_key
from apo_core.contract.contract import load_contract
from apo_core.errors import AdapterError, ApoError, ConfigError
from apo_core.ros.diagnostics import OK, diagnostic_array
from apo_core.ros.node_runner import run
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS

_WATCH_S = 0.2  # after so long the cameras come to the first page, and end after the last


class ConsoleNode(Node):
    """Serves the page from a thread of its own; implements `server.robots.Robots`."""

    def __init__(self) -> None:
        super().__init__("console")
        self._config = config = declare(self, ConsoleConfig)
        contract = load_contract(config.contract_file)
        self._lock = threading.Lock()
        listener = bound_socket(config.host, config.port)
        port = listener.getsockname()[1]
        self._links: list[RobotLink] = []
        self._hub: Hub | None = None
        self._reading, self._changing = ThreadPoolExecutor(2, "console read"), ThreadPoolExecutor(1, "console change")
        self._exporting = ThreadPoolExecutor(1, "console export")  # may take an hour: a rollback must not wait for it
        self._libraries = [_library(config, namespace) for namespace in config.robots]
        self._cameras = CameraEncoder(config.jpeg_quality, config.picture_width, self._is_watched, self._offer)
        for index, namespace in enumerate(config.robots):
            picture = partial(self._cameras.put, index)
            self._links.append(
                RobotLink(self, namespace, contract, config.sensor_reliability, picture, self._lock, time.monotonic)
            )
        timeouts = config.lease_timeout_s, config.lease_rest_timeout_s
        self._hub = Hub(self, *timeouts, config.max_round_trip_s, config.max_viewers)
        token = config.token or secrets.token_urlsafe(24)
        names = tuple(dict.fromkeys((*filter(None, config.host_names), *([] if config.is_loopback else [config.host]))))
        access = Access(token, port, (*names, config.host), config.has_tls)
        app = make_app(self._hub, access, config.has_tls, file_routes(self._libraries, self._reading))
        self._server = ServerThread(app, listener, self._tls(names), priority=config.input_priority)
        self._server.start()
        self.get_logger().info(f"scheduling of the input: {self._server.scheduling}")
        self.create_timer(_WATCH_S, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._diagnostics_pub = self.create_publisher(DiagnosticArray, "/diagnostics", COMMANDS)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, COMMANDS)
        self.create_timer(1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))
        shown = url_host(names[0] if names else config.host)
        self.address = f"{'https' if config.has_tls else 'http'}://{shown}:{port}/?token={token}"
        if config.port not in (0, port):
            self.get_logger().warning(f"port {config.port} is taken, so it is {port} (config/console.yaml)")
        if config.address_file:
            write_private(Path(config.address_file), self.address)
        self.get_logger().info(f"console: {self.address}")

    def _tls(self, names: Sequence[str]) -> tuple[Path, Path] | None:
        config = self._config
        if not config.has_tls:
            return None
        if config.tls_certificate:
            return Path(config.tls_certificate), Path(config.tls_key)
        return self_signed(Path(config.tls_dir), (*names, "127.0.0.1", "localhost"), datetime.now(UTC))

    def close(self) -> None:
        """Lets go of every robot and ends the threads."""
        self._server.close()
        self._cameras.close()
        self._exporting.shutdown(wait=False, cancel_futures=True)
        for library in self._libraries:
            library.close()
        self._reading.shutdown(cancel_futures=True)
        self._changing.shutdown(cancel_futures=True)
        self._exporting.shutdown(cancel_futures=True)

    def count(self) -> int:
        """See Robots."""
        return len(self._links)

    def states(self, now_s: float) -> list[dict[str, Any]]:
        """See Robots."""
        with self._lock:
            return [link.live.state(now_s) for link in self._links]

    def drive(self, robot: int, holder: str, axes: Sequence[float], held: bool, events: Sequence[str]) -> None:
        """See Robots."""
        self._links[robot].drive(holder, axes, held, events, connected=True)

    def let_go(self, robot: int, why: str) -> None:
        """See Robots."""
        self._links[robot].drive("", [0.0] * 6, False, (), connected=False)
        self.get_logger().info(why)

    def stop(self, robot: int) -> Future[Answer]:
        """See Robots."""
        return self._links[robot].stop()

    def perform(self, robot: int, action: str, fields: dict[str, Any], viewer: str) -> Future[Answer]:
        """See Robots."""
        if action in ACTIONS:
            threads = self._exporting if action == "export" else self._changing
            return threads.submit(self._change, robot, action, fields, viewer)
        return self._links[robot].perform(action, fields)

    def _change(self, robot: int, action: str, fields: dict[str, Any], viewer: str) -> Answer:
        """Changes files of a robot's library; the log keeps who did it."""
        try:
            done = self._libraries[robot].perform(action, fields, viewer)
        except (ApoError, OSError) as error:
            return Answer(False, str(error))
        self.get_logger().info(f"{viewer}: {done}")
        return Answer(True, done)

    def _watch(self) -> None:
        for link in self._links:
            link.watch(self._is_watched())

    def _is_watched(self) -> bool:
        return self._hub is not None and self._hub.has_viewers

    def _offer(self, robot: int, camera: int, sequence: int, stamp_ns: int, jpeg: bytes) -> None:
        assert self._hub is not None  # nobody looks before it is there
        self._hub.offer_frame(robot, camera, sequence, stamp_ns, jpeg)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        now_s = time.monotonic()
        with self._lock:
            for status in message.status:
                namespace, _, name = status.name.rpartition("/")
                for link in self._links:
                    if link.live.name == namespace:
                        link.live.on_diagnostics(now_s, name, int.from_bytes(status.level, "little"), status.message)

    def _publish_diagnostics(self) -> None:
        assert self._hub is not None
        facts = {name: str(value) for name, value in self._hub.facts().items()}
        text = f"{facts['viewers']} pages are open, {facts['drives']} drives by browser"
        self._diagnostics_pub.publish(diagnostic_array(self, OK, text, facts))


def write_private(path: Path, text: str) -> None:
    """Writes a file that its owner alone can read. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text + "\n")


def _library(config: ConsoleConfig, namespace: str) -> Library:
    def place(folder: str) -> Path:
        return Path(folder.replace("{robot}", namespace.strip("/")))

    episodes = EpisodeLibrary(
        place(config.episode_dir),
        config.label_rule,
        place(config.export_dir),
        config.jpeg_quality,
        config.picture_width,
    )
    try:
        key = read_signing_key(config.signing_key) if config.signing_key else None
    except AdapterError as error:
        raise ConfigError("config/console.yaml", [f"signing_key = {config.signing_key!r}: {error}"]) from None
    return Library(episodes, LearningLibrary(place(config.adapter_dir), place(config.run_dir), key))


def main() -> None:
    """Console script."""
    raise SystemExit(run(ConsoleNode))


if __name__ == "__main__":
    main()
