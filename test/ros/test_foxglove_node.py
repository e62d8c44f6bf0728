"""The Foxglove stream as a process over DDS, read by a client of its WebSocket protocol."""

import contextlib
import json
import struct
import subprocess

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from node_command import node_command
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image
from spinning import spin_until
from websockets.sync.client import connect

from apo_core.ros.conversions import image_to_msg
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_interfaces.msg import ActionCommand, AdapterStatus

rclpy = pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")
pytest.importorskip("foxglove", reason="foxglove-sdk is missing: pip install -r requirements/view.in")
typesys = pytest.importorskip("rosbags.typesys", reason="rosbags is missing: pip install -r requirements/export.in")

WAIT_S = 30.0


class Viewer:
    """A client of the protocol foxglove.sdk.v1."""

    def __init__(self, address):
        self._connection = contextlib.ExitStack()
        asked = connect(address, subprotocols=["foxglove.sdk.v1"], open_timeout=WAIT_S)
        self._socket = self._connection.enter_context(asked)
        self.channels, self.info, self.messages = {}, {}, []

    def read(self):
        """What has come so far."""
        try:
            while True:
                received = self._socket.recv(timeout=0.01)
                if isinstance(received, bytes):
                    opcode, subscription, _ = struct.unpack_from("<BIQ", received)
                    assert opcode == 1
                    self.messages.append((subscription, received[13:]))
                    continue
                message = json.loads(received)
                if message["op"] == "serverInfo":
                    self.info = message
                for channel in message.get("channels", ()):
                    self.channels[channel["topic"]] = channel
        except TimeoutError:
            return self

    def subscribe(self, topic):
        channel = self.channels[topic]["id"]
        wanted = [{"id": channel, "channelId": channel}]
        self._socket.send(json.dumps({"op": "subscribe", "subscriptions": wanted}))

    def received(self, topic):
        """The messages of a topic, decoded by the schema that the server announced."""
        channel = self.channels[topic]
        assert (channel["encoding"], channel["schemaEncoding"]) == ("cdr", "ros2msg")
        store = typesys.get_typestore(typesys.Stores.EMPTY)
        store.register(typesys.get_types_from_msg(channel["schema"], channel["schemaName"]))
        found = [data for subscription, data in self.read().messages if subscription == channel["id"]]
        return [store.deserialize_cdr(data, channel["schemaName"]) for data in found]

    def close(self):
        self._connection.close()


class Robot:
    def __init__(self):
        self.node = rclpy.create_node("robot", namespace="left")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.facts = {}
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, COMMANDS)
        self.images = self.node.create_publisher(Image, "agentview/image_raw", sensors("reliable"))
        self.commands = self.node.create_publisher(ActionCommand, "command", COMMANDS)
        self.adapters = self.node.create_publisher(AdapterStatus, "policy/adapter_status", LATCHED)

    def _on_diagnostics(self, message):
        self.facts |= {pair.key: pair.value for pair in message.status[0].values}

    def until(self, condition, what):
        spin_until(self.executor, condition, what, WAIT_S)


@pytest.fixture
def robot(ros):
    made = Robot()
    yield made
    made.node.destroy_node()


@pytest.fixture
def server(robot, tmp_path):
    """The address, while the node runs in the robot's namespace."""
    given = {"contract_file": "config/contract.yaml", "port": 0, "layout_file": str(tmp_path / "layout.json")}
    process = subprocess.Popen([*node_command("apo_console.viewers.foxglove_node", given), "-r", "__ns:=/left"])
    robot.until(lambda: robot.facts.get("address"), "diagnostics of the node")
    yield robot.facts["address"]
    process.terminate()
    assert process.wait(WAIT_S) == 0


@pytest.fixture
def viewer(server, robot):
    made = Viewer(server)
    robot.until(lambda: "/left/command" in made.read().channels, "the list of topics")
    yield made
    made.close()


def test_a_viewer_sees_pictures_and_commands_as_they_are_on_the_wire(robot, viewer):
    assert "clientPublish" not in viewer.info["capabilities"]
    for topic in ("/left/agentview/image_raw", "/left/command"):
        viewer.subscribe(topic)
    picture = np.arange(84 * 84 * 3, dtype=np.uint32).reshape(84, 84, 3).astype(np.uint8)

    def both():
        robot.images.publish(image_to_msg(picture, 2_000_000_000, "camera"))
        robot.commands.publish(ActionCommand(tick=7, source="HUMAN", values=[0.5, -0.25], clipped="linear_speed"))
        return viewer.received("/left/agentview/image_raw") and viewer.received("/left/command")

    robot.until(both, "a picture and a command")
    image, command = viewer.received("/left/agentview/image_raw")[0], viewer.received("/left/command")[0]
    assert (image.height, image.encoding, image.header.stamp.sec) == (84, "rgb8", 2)
    assert image.data.tobytes() == picture.tobytes()
    assert (command.tick, command.source, command.clipped) == (7, "HUMAN", "linear_speed")
    assert command.values.tolist() == [0.5, -0.25]


def test_a_topic_that_nobody_views_is_not_received(robot, viewer):
    topic = "/left/agentview/image_raw"
    assert robot.node.count_subscribers(topic) == 0
    viewer.subscribe(topic)
    robot.until(lambda: robot.node.count_subscribers(topic) == 1, "subscription for the viewer")
    viewer.close()
    robot.until(lambda: robot.node.count_subscribers(topic) == 0, "its end")


def test_each_viewer_gets_the_latched_status(robot, server, viewer):
    topic = "/left/policy/adapter_status"
    robot.adapters.publish(AdapterStatus(state="LOADED", version=3))
    viewer.subscribe(topic)
    robot.until(lambda: viewer.received(topic), "status for the first viewer")
    second = Viewer(server)
    robot.until(lambda: topic in second.read().channels, "the list of topics")
    second.subscribe(topic)
    robot.until(lambda: second.received(topic), "status for the second viewer")
    assert second.received(topic)[0].version == 3
    second.close()


def test_the_layout_is_written_for_the_namespace(server, tmp_path):
    layout = json.loads((tmp_path / "layout.json").read_text())
    assert layout["configById"]["Image!wrist"]["imageMode"]["imageTopic"] == "/left/wrist/image_raw"


def test_a_port_that_is_taken_ends_the_node_with_its_name(ros, server):
    port = server.rpartition(":")[2]
    given = {"contract_file": "config/contract.yaml", "port": port}
    done = subprocess.run(
        node_command("apo_console.viewers.foxglove_node", given), capture_output=True, text=True, timeout=WAIT_S
    )
    assert done.returncode == 2
    assert "config/foxglove.yaml" in done.stderr and f"host = '127.0.0.1', port = {port}" in done.stderr
