"""A stack whose operator's device is the browser, and the console's page as a person uses it."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import rclpy
import yaml
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from apo_core.ros.qos import COMMANDS, LATCHED
from apo_interfaces.msg import ActionCommand, AdapterStatus, ControlStatus, EpisodeEvent

ROOT = Path(__file__).resolve().parents[3]
PICTURES = os.environ.get("APO_SCREENSHOTS", "")  # folder that gets the pictures of the docs
WAIT_S = 90.0


class Stack:
    """`./apo up` with the browser as operator's device, and what it publishes."""

    def __init__(self, domain: int, folder: Path):
        self.data = folder / "data"
        settings = folder / "mine.yaml"
        parameters: dict[str, dict[str, object]] = {"console": {"port": 0}, "trainer": {"every_n_episodes": 0}}
        if PICTURES:  # while one is taken the page stands still
            parameters["console"] |= {"lease_timeout_s": 2.0, "lease_rest_timeout_s": 2.0, "max_round_trip_s": 3.0}
            parameters["teleop"] = {"remote_stale_s": 2.0, "remote_rest_stale_s": 2.0}
        settings.write_text(yaml.safe_dump({f"/**/{name}": {"ros__parameters": v} for name, v in parameters.items()}))
        command = [str(ROOT / "apo"), "up", "--sim", "--mode", "realtime", "--operator", "browser"]
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
            environment.pop(name, None)  # ./apo sets the product's own transports
        self.log = (folder / "log.txt").open("w")
        self.process = subprocess.Popen(
            [*command, "--data-dir", str(self.data), "--params-file", str(settings)],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("observer", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.commands: list[ActionCommand] = []
        self.episodes: list[EpisodeEvent] = []
        self.states: list[ControlStatus] = []
        self.adapters: list[AdapterStatus] = []
        for kind, topic, kept, qos in (
            (ActionCommand, "command", self.commands, COMMANDS),
            (EpisodeEvent, "recorder/event", self.episodes, COMMANDS),
            (ControlStatus, "control/status", self.states, COMMANDS),
            (AdapterStatus, "policy/adapter_status", self.adapters, LATCHED),
        ):
            self.node.create_subscription(kind, topic, kept.append, qos)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        self.address = self._address()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _address(self) -> str:
        file = self.data / "console_address"
        until(file.is_file, "the console's address")
        until(lambda: file.read_text().endswith("\n"), "a whole address")
        assert file.stat().st_mode & 0o077 == 0, "others can read the token"
        return file.read_text().strip()

    def next_command(self, accepts: Callable[[ActionCommand], bool], what: str) -> ActionCommand:
        """The first command from now on that is as wanted."""
        seen = len(self.commands)
        return until(lambda: next((c for c in self.commands[seen:] if accepts(c)), None), what)

    def drives(self, source: str) -> ActionCommand:
        return self.next_command(lambda command: command.source == source, f"command of {source}")

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(60)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self._context.try_shutdown()
        self._thread.join()
        self.node.destroy_node()
        self.log.close()


def until(condition, what: str):
    """The value of a condition once it holds."""
    end = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < end, f"no {what}"
        time.sleep(0.01)
    return found


class Page:
    """The page as a person uses it."""

    def __init__(self, browser, address: str, init: str = ""):
        size = {"width": 1280, "height": 900}
        # the certificates of tests are self-signed
        self.context = browser.new_context(viewport=size, color_scheme="light", ignore_https_errors=True)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        if init:
            self.page.add_init_script(init)
        self.page.goto(address)
        self.until("window.apo !== undefined && window.apo.connection.isOpen")
        self.until(r"/round trip \d+ ms/.test(document.getElementById('line').textContent)")

    def until(self, expression: str, what: str = ""):
        # the page's own policy forbids Playwright to wait inside it: that needs eval
        return until(lambda: self.page.evaluate(expression), what or expression)

    def text(self, element: str) -> str:
        return self.page.locator(f"#{element}").text_content()

    def takes_the_lease(self) -> None:
        def tried() -> bool:
            # a machine that has just started a browser may be too slow at first
            if not self.page.evaluate("window.apo.drive.isOn"):
                self.page.locator("#take").click()
                self.page.wait_for_timeout(500)
            return self.page.evaluate("window.apo.drive.isOn")

        until(tried, "lease")

    def picture(self, name: str, **options) -> None:
        if PICTURES:
            self.page.screenshot(path=Path(PICTURES) / f"console_{name}.png", **options)

    def close(self) -> None:
        self.context.close()
        assert self.errors == []
