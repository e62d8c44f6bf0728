"""The console as a process over DDS, and a page of it without a browser."""

import json
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest
from console_page import Page
from node_command import node_command
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image
from spinning import spin_until
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from apo_console.ros.robot_link import RobotLink
from apo_core.contract.contract import load_contract
from apo_core.ros.conversions import image_to_msg
from apo_core.ros.qos import COMMANDS, sensors
from apo_interfaces.msg import ControlStatus, DeviceSample

rclpy = pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

WAIT_S = 30.0


class Robot:
    """Arbiter and cameras of a robot, as far as the console sees them."""

    def __init__(self, contract):
        self.node = rclpy.create_node("robot")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.samples, self.stops, self.calls = [], [], []
        self.node.create_subscription(DeviceSample, "operator/device", self.samples.append, COMMANDS)
        self.node.create_subscription(Bool, "estop", lambda m: self.stops.append(m.data), COMMANDS)
        self.status = self.node.create_publisher(ControlStatus, "control/status", COMMANDS)
        self.image = self.node.create_publisher(Image, contract.images[0].topic, sensors("reliable"))
        self.spec = contract.images[0]
        for name, kind in (("estop", Trigger), ("clear", Trigger), ("hand_back", Trigger), ("enable", SetBool)):
            self.node.create_service(kind, f"arbiter/{name}", self._answer(name))

    def _answer(self, name):
        def answer(_, response):
            # what the topic carried when the service was called
            self.calls.append((name, self.stops[-1] if self.stops else None))
            response.success, response.message = True, f"{name} done"
            return response

        return answer

    def until(self, condition, what):
        spin_until(self.executor, condition, what, WAIT_S)

    def asks(self, page, action, **fields):
        """The page's answer, while the robot's services run."""
        page.send(json.dumps({"number": 7, "robot": 0, "action": action, **fields}))
        found = []

        def is_answered():
            found.extend(m for m in page.waiting() if isinstance(m, dict) and m.get("answer") == 7)
            return found

        self.until(is_answered, f"answer to {action}")
        return found[0]


@pytest.fixture
def contract():
    return load_contract("config/contract.yaml")


@pytest.fixture
def robot(ros, contract):
    made = Robot(contract)
    yield made
    made.node.destroy_node()


@pytest.fixture
def console(robot, tmp_path, meet):
    """The address of a console with its process."""
    file = tmp_path / "address"
    folders = {name: str(tmp_path / name) for name in ("episode_dir", "adapter_dir", "run_dir", "export_dir")}
    # on a slow machine messages may pause
    limits = {"lease_timeout_s": 2.0, "lease_rest_timeout_s": 5.0, "max_round_trip_s": 5.0}
    given = {"contract_file": "config/contract.yaml", "port": 0, "address_file": str(file), **folders, **limits}
    process = subprocess.Popen(node_command("apo_console.console_node", given))
    robot.until(lambda: file.is_file() and file.read_text().endswith("\n"), "the console's address")
    meet(robot.node, "console", robot.until)
    yield urllib.parse.urlsplit(file.read_text().strip())
    process.terminate()
    assert process.wait(WAIT_S) == 0


@pytest.fixture
def page(console):
    made = Page(console.port, "Ada", token=urllib.parse.parse_qs(console.query)["token"][0])
    made.measured()
    yield made
    made.close()


def test_a_page_sees_the_state_and_the_pictures(robot, page):
    picture = np.full(robot.spec.shape, 90, np.uint8)

    def received():
        robot.status.publish(ControlStatus(state="POLICY", reason="policy_in_control"))
        robot.image.publish(image_to_msg(picture, 1_000_000_000, "camera"))
        return page.waiting()

    robot.until(lambda: any(isinstance(m, bytes) and m[0] == 4 for m in received()), "picture of the camera")

    def states():
        return [m["robots"][0]["control"].get("state") for m in received() if isinstance(m, dict) and "robots" in m]

    robot.until(lambda: "POLICY" in states(), "state of the arbiter")


def test_the_holder_drives_and_a_closed_page_lets_go(robot, page):
    assert robot.asks(page, "lease", take_over=False)["accepted"]
    page.drive(1, (0.5, 0, 0, 0, 0, 0), held=True)
    robot.until(lambda: robot.samples and robot.samples[-1].connected, "sample of the device")
    sample = robot.samples[-1]
    assert (sample.holder, sample.held, list(sample.axes)) == ("Ada", True, [0.5, 0, 0, 0, 0, 0])
    page.close()
    robot.until(lambda: not robot.samples[-1].connected, "the end of the lease")
    assert list(robot.samples[-1].axes) == [0.0] * 6


def test_a_stop_goes_every_way_and_its_end_follows_the_topic(robot, page):
    assert robot.asks(page, "estop") == {"answer": 7, "accepted": True, "message": "estop done"}
    robot.until(lambda: robot.stops == [True], "stop on the topic")
    robot.until(lambda: any(list(s.events) == ["estop"] for s in robot.samples), "event of the device")
    assert robot.asks(page, "clear")["message"] == "clear done"
    assert robot.calls == [("estop", None), ("clear", False)] or robot.calls == [("estop", True), ("clear", False)]


def test_a_service_that_is_not_there_is_named(robot, page):
    assert robot.asks(page, "undo_last") == {
        "answer": 7,
        "accepted": False,
        "message": "no node serves recorder/undo_last",
    }


def test_a_late_answer_of_a_node_harms_nothing(robot, contract):
    link = RobotLink(robot.node, "", contract, "reliable", lambda *_: None, threading.Lock(), time.monotonic)
    client = robot.node.create_client(Trigger, "arbiter/hand_back")
    robot.until(client.service_is_ready, "service")
    answer = link.perform("hand_back", {})
    answer.cancel()  # the page has waited long enough
    robot.until(answer.done, "answer")
    assert answer.result().message == "hand_back done"


def test_files_are_served_to_who_has_the_token(console):
    token = urllib.parse.parse_qs(console.query)["token"][0]
    request = urllib.request.Request(
        f"http://{console.netloc}/api/0/episodes", headers={"Cookie": f"apo_console_{console.port}={token}"}
    )
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        assert json.load(answer) == {"rows": [], "unread": 0}
