"""The recorder node under load over DDS: three 640 x 480 cameras at 30 Hz, state at 100 Hz, a minute long.

A second minute is recorded while its background process makes video of the first and brings it to a store.
"""

from __future__ import annotations

import array
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from control.harness import ROOT, cpu_seconds  # first: it picks the DDS domain

# ruff: isort: split
import numpy as np
import rclpy
import yaml
from figure import Figure
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image, JointState

from apo_core.contract.contract import contract_from_dict
from apo_core.ros.conversions import to_floats, to_stamp
from apo_core.ros.qos import COMMANDS, sensors
from apo_episodes.reader import read_episode, verify_checksums
from apo_interfaces.msg import ActionCommand
from apo_interfaces.srv import EndEpisode, StartEpisode

SECONDS, CAMERA_HZ, STATE_HZ = 60.0, 30, 100
CAMERAS = ("left", "right", "wrist")
HEIGHT, WIDTH, PICTURES = 480, 640, 20
WAIT_S = 60.0


def contract_values() -> dict[str, object]:
    """The shipped contract with this robot's topics."""
    values = yaml.safe_load((ROOT / "config" / "contract.yaml").read_text())
    values["rate_hz"] = float(CAMERA_HZ)
    camera = {"height": HEIGHT, "width": WIDTH, "encoding": "rgb8", "rate_hz": float(CAMERA_HZ)}
    values["images"] = {name: {"topic": f"{name}/image_raw", **camera} for name in CAMERAS}
    joints = values["state"]["joint_position"] | {"rate_hz": float(STATE_HZ)}
    values["state"] = {"joint_position": joints}
    return values


def pictures(camera: int) -> list[array.array]:
    """Frames without noise, with edges that move; as message data, so that none is made while the clock runs."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    made = []
    for index in range(PICTURES):
        image = np.stack([(x * 0.3 + index) % 256, (y * 0.4 + 20 * camera) % 256, (x + y) * 0.2 % 256], -1)
        image[(x - 100 - 9 * index) ** 2 + (y - 240) ** 2 < 3600] = (200, 30, 30)
        made.append(array.array("B", image.astype(np.uint8).tobytes()))
    return made


class Robot:
    """Publishes the streams and a command for every camera tick."""

    def __init__(self, joints: list[str]):
        self.node = rclpy.create_node("soak")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        qos = sensors("reliable")
        self._cameras = [self.node.create_publisher(Image, f"{name}/image_raw", qos) for name in CAMERAS]
        self._state = self.node.create_publisher(JointState, "joint_states", qos)
        self._command = self.node.create_publisher(ActionCommand, "command", COMMANDS)
        self._start = self.node.create_client(StartEpisode, "recorder/start_episode")
        self._end = self.node.create_client(EndEpisode, "recorder/end_episode")
        self._pictures = [pictures(camera) for camera in range(len(CAMERAS))]
        self._image = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH)
        self._joints = JointState(name=joints, position=[0.1] * len(joints))
        action = to_floats(np.zeros(7, np.float32))
        self._action = ActionCommand(values=action, policy_values=action, source="POLICY", reason="policy_in_control")

    def until(self, condition, what: str) -> None:
        end = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f"waited {WAIT_S} s for {what}")
            self._executor.spin_once(timeout_sec=0.05)

    def connect(self) -> None:
        publishers = (*self._cameras, self._state, self._command)
        self.until(
            lambda: (
                all(p.get_subscription_count() for p in publishers)
                and self._start.service_is_ready()
                and self._end.service_is_ready()
            ),
            "the recorder",
        )

    def call(self, client, request):
        future = client.call_async(request)
        self.until(future.done, "the recorder's answer")
        return future.result()

    def record(self) -> tuple[str, int, float]:
        """Runs the load; (file, ticks published, largest delay of a publication in s)."""
        started = self.call(self._start, StartEpisode.Request(task="soak", instruction="", operator_name="", seed=0))
        if not started.accepted:
            raise RuntimeError(started.message)
        begin, base_ns = time.monotonic(), self.node.get_clock().now().nanoseconds
        tick = state = 0
        worst = 0.0
        ticks = round(SECONDS * CAMERA_HZ)
        while tick < ticks:
            due_tick, due_state = tick / CAMERA_HZ, state / STATE_HZ
            due = min(due_tick, due_state)
            ahead = begin + due - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            worst = max(worst, -ahead)
            stamp_ns = base_ns + round(due * 1e9)
            if due_state <= due_tick:
                self._joints.header.stamp = to_stamp(stamp_ns)
                self._state.publish(self._joints)
                state += 1
            else:
                self._send_tick(tick, stamp_ns)
                tick += 1
                last_ns = stamp_ns
        self._joints.header.stamp = to_stamp(last_ns + 1)
        self._state.publish(self._joints)  # completes the last observation
        request = EndEpisode.Request(outcome="SUCCESS", reason="over", until=to_stamp(last_ns))
        ended = self.call(self._end, request)
        if not ended.accepted:
            raise RuntimeError(ended.message)
        return ended.path, ticks, worst

    def _send_tick(self, tick: int, stamp_ns: int) -> None:
        stamp = to_stamp(stamp_ns)
        self._image.header.stamp = stamp
        for publisher, data in zip(self._cameras, self._pictures, strict=True):
            self._image.data = data[tick % PICTURES]
            publisher.publish(self._image)
        self._action.tick = tick + 1
        self._action.header.stamp = self._action.observation_stamp = self._action.chunk_stamp = stamp
        self._command.publish(self._action)


def check(name: str, path: str, ticks: int, worst: float) -> None:
    """Prints what an episode has, and the frames that the recorder has lost."""
    episode, damaged = read_episode(path, images=False), verify_checksums(path)
    if damaged:
        raise RuntimeError(f"the file does not have what was recorded: {damaged}")
    received = {camera: int(episode.streams[camera]["received"]) for camera in CAMERAS}
    kept = {camera: len(set(episode.header_stamps_ns[camera].tolist())) for camera in CAMERAS}
    frames = ticks * len(CAMERAS)
    lost = sum(max(0, received[camera] - kept[camera]) for camera in CAMERAS)
    transport = frames - sum(received.values())
    print(f"published {frames} frames, {transport} lost in transport, {sum(kept.values())} in the file")
    print(f"file of {Path(path).stat().st_size * 1e-6:.0f} MB, {episode.image_compression}")
    print(f"losses {dict(episode.losses)}; streams {dict(episode.streams)}")
    print(f"a publication was at most {worst * 1e3:.0f} ms late")
    Figure(name, lost, "frames", 0.0, True, frames, transport).emit()


def main() -> None:
    values = contract_values()
    contract = contract_from_dict(values, "soak")
    with tempfile.TemporaryDirectory() as folder:
        contract_file = Path(folder) / "contract.yaml"
        contract_file.write_text(yaml.safe_dump(values))
        parameters = {
            "contract_file": contract_file,
            "episode_dir": Path(folder) / "episodes",
            "image_compression": "video",
            "video_delay_s": 0.0,
            "upload_url": Path(folder) / "store",
            "background_interval_s": 1.0,
        }
        arguments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
        command = [sys.executable, "-m", "apo_recorder.recorder_node", "--ros-args", *arguments]
        recorder = subprocess.Popen(command, stdout=sys.stderr)
        rclpy.init()
        robot = Robot(list(contract.state[0].joints))
        try:
            robot.connect()
            used, begin = cpu_seconds(recorder), time.monotonic()
            alone = robot.record()
            share = (cpu_seconds(recorder) - used) / (time.monotonic() - begin)
            beside = robot.record()
        finally:
            robot.node.destroy_node()
            rclpy.try_shutdown()
            recorder.terminate()
            recorder.wait(WAIT_S)
        check("recorder_soak_lost", *alone)
        check("recorder_background_lost", *beside)
    Figure("recorder_soak_processors", share, "processors", 1.0, True, 1).emit()


if __name__ == "__main__":
    main()
