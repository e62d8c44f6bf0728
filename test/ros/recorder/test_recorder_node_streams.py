"""The recorder's process with the topics that a contract names: depth, compressed images, wrenches, arrays."""

import array
import json

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import WrenchStamped
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Float64MultiArray

from apo_core.ros.conversions import to_stamp
from apo_core.ros.qos import COMMANDS, sensors
from apo_interfaces.msg import EpisodeEvent

SENSES = {
    "images": {
        "depth": {"topic": "depth/image_raw", "height": 4, "width": 6, "encoding": "16UC1", "rate_hz": 10},
        "grey": {
            "topic": "grey/compressed",
            "type": "sensor_msgs/msg/CompressedImage",
            "height": 4,
            "width": 6,
            "encoding": "mono8",
        },
    },
    "state": {
        "wrench": {"topic": "wrench", "type": "geometry_msgs/msg/WrenchStamped", "size": 6, "unit": "N, N m"},
        "tactile": {"topic": "tactile", "type": "std_msgs/msg/Float64MultiArray", "size": 3, "unit": "N"},
    },
}


class Senses:
    """A depth camera, a compressed grey one, a wrench and an array without header."""

    def __init__(self, node):
        qos = sensors("reliable")
        self.depth = node.create_publisher(Image, "depth/image_raw", qos)
        self.grey = node.create_publisher(CompressedImage, "grey/compressed", qos)
        self.wrench = node.create_publisher(WrenchStamped, "wrench", qos)
        self.tactile = node.create_publisher(Float64MultiArray, "tactile", qos)

    def publish(self, stamp_ns: int, tick: int) -> None:
        stamp = to_stamp(stamp_ns)
        depth = Image(height=4, width=6, encoding="16UC1", step=12)
        depth.data = array.array("B", np.full((4, 6), 1000 + tick, "<u2").tobytes())
        png = cv2.imencode(".png", np.full((4, 6), tick, np.uint8))[1].tobytes()
        grey = CompressedImage(format="png", data=array.array("B", png))
        wrench = WrenchStamped()
        wrench.wrench.force.z = float(tick)
        for message in (depth, grey, wrench):
            message.header.stamp = stamp
        self.depth.publish(depth)
        self.grey.publish(grey)
        self.wrench.publish(wrench)
        self.tactile.publish(Float64MultiArray(data=[float(tick), 0.5, -1.0]))


@pytest.mark.parametrize("compression", ["zstd", "jpeg"])
def test_depth_compressed_and_arrays_come_from_the_contract(
    launch, cell, episodes, tmp_path, small_contract, compression
):
    contract_file = tmp_path / "senses.yaml"
    # an array has no header: its stamp is the time of arrival
    contract_file.write_text(json.dumps(small_contract.as_dict() | SENSES | {"tolerance_s": 5.0}))
    senses = Senses(cell.node)
    cell.publishers = [cell.command_pub, senses.depth, senses.grey, senses.wrench, senses.tactile]
    launch(
        contract_file=contract_file,
        image_compression=compression,
        lockstep=False,
        pairing_tolerance_s=5.0,
        observation_wait_s=0.2,
    )
    cell.start()
    begin_ns = cell.node.get_clock().now().nanoseconds
    for tick in range(1, 6):
        stamp_ns = begin_ns + tick * 1_000_000
        senses.publish(stamp_ns, tick)
        cell.command(tick, stamp_ns=stamp_ns)
    cell.wait_taken(5)
    assert cell.end().accepted
    (episode,) = episodes()
    assert episode.num_steps > 0 and episode.images["depth"].dtype == np.uint16
    depth, grey = episode.images["depth"][-1], episode.images["grey"][-1]
    assert depth.shape == grey.shape == (4, 6, 1) and 1001 <= depth[0, 0, 0] <= 1005
    assert (grey == grey[0, 0, 0]).all()
    assert episode.state["tactile"][-1].tolist()[1:] == [0.5, -1.0]
    assert episode.state["wrench"].shape[1] == 6
    assert episode.streams["depth"]["received"] == 5


def test_a_camera_that_is_frozen_while_the_arm_moves_is_named(launch, cell):
    launch()
    for tick in range(1, 20):
        cell.observe(tick, image=np.full((4, 6, 3), tick, np.uint8))
    for tick in range(20, 40):
        cell.observe(tick, image=np.zeros((4, 6, 3), np.uint8))
    expected = "frozen content: topic front/image_raw ('front'): for 20 observations it shows a picture that is black"
    cell.spin_until(lambda: cell.diagnosis.startswith(expected), "the diagnosis of the camera")
    cell.observe(40)
    cell.spin_until(lambda: cell.diagnosis == "records", "the diagnosis of a camera that works")


def test_beside_a_second_recorder_no_episode_begins(launch, cell, ros_domain):
    launch()
    second = cell.node.create_publisher(EpisodeEvent, "recorder/event", COMMANDS)
    cell.spin_until(lambda: "nodes publish" in cell.diagnosis, "the diagnosis of the second recorder")
    expected = (
        f"2 nodes publish /recorder/event in ROS domain {ros_domain} (/cell, /recorder): "
        "end one, or give one stack another ROS_DOMAIN_ID or --namespace"
    )
    assert cell.diagnosis == f"begins no episode: {expected}"
    answer = cell.start()
    assert (answer.accepted, answer.message) == (False, expected)
    cell.node.destroy_publisher(second)
    cell.spin_until(lambda: cell.diagnosis == "records", "the diagnosis of one recorder")
    assert cell.start().accepted
