"""What a transport costs: two 640 x 480 cameras at 20 Hz, received by two processes, as policy and recorder do.

    source scripts/env.sh && python bench/middleware/image_stream.py --transport udp --seconds 10

The messages of one camera process are received by two others; all take their processor time and the receivers the age
of every message at its callback.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import statistics
import time
from dataclasses import dataclass

from transports import TRANSPORTS

from apo_core.ros.qos import sensors

_FORK = multiprocessing.get_context("fork")
_RATE_HZ, _CAMERAS, _RECEIVERS = 20.0, 2, 2
_MEET_S, _LAST_S = 30.0, 1.0


@dataclass(frozen=True, slots=True)
class Stream:
    """What was measured."""

    frames: int  # sent to all receivers together
    lost: int
    latency_ms: float  # median
    latency_p99_ms: float
    processors: float  # of all processes together


def _message(height: int, width: int):
    from sensor_msgs.msg import Image

    return Image(height=height, width=width, step=3 * width, encoding="rgb8", data=bytes(3 * height * width))


def _camera(reliability: str, seconds: float, size: tuple[int, int], result) -> None:
    import rclpy
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("camera")
    topics = [f"camera{index}/image_raw" for index in range(_CAMERAS)]
    publishers = [node.create_publisher(Image, topic, sensors(reliability)) for topic in topics]
    message, end = _message(*size), time.monotonic() + _MEET_S
    while any(p.get_subscription_count() < _RECEIVERS for p in publishers):
        if time.monotonic() > end:
            raise RuntimeError(f"waited {_MEET_S} s for {_RECEIVERS} receivers")
        time.sleep(0.01)
    begin, used, sent = time.monotonic(), time.process_time(), 0
    while (due := begin + sent / _RATE_HZ) < begin + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        for publisher in publishers:
            now = time.monotonic_ns()
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 1_000_000_000)
            publisher.publish(message)
        sent += 1
    result.send((sent * _CAMERAS, (time.process_time() - used) / (time.monotonic() - begin)))
    time.sleep(2 * _LAST_S)
    rclpy.try_shutdown()


def _receiver(reliability: str, seconds: float, result) -> None:
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("receiver")
    ages: list[float] = []

    def on_image(message: Image) -> None:
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        ages.append((time.monotonic_ns() - stamp) * 1e-6)

    for index in range(_CAMERAS):
        node.create_subscription(Image, f"camera{index}/image_raw", on_image, sensors(reliability))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    end = time.monotonic() + _MEET_S
    while not ages and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.1)
    begin, used = time.monotonic(), time.process_time()
    while time.monotonic() < begin + seconds + _LAST_S:
        executor.spin_once(timeout_sec=0.1)
    result.send((ages, (time.process_time() - used) / seconds))
    rclpy.try_shutdown()


def measure(reliability: str, seconds: float, size: tuple[int, int] = (480, 640)) -> Stream:
    """Runs the three processes; the environment has the transport and the ROS domain.

    Args:
        reliability: see `apo_core.ros.qos.sensors`.
        seconds: duration of the stream.
        size: height and width of an image.

    Raises:
        RuntimeError: a process ended without a result.
    """
    targets = [(_receiver, (reliability, seconds))] * _RECEIVERS + [(_camera, (reliability, seconds, size))]
    running = []
    for target, arguments in targets:
        receive, send = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=target, args=(*arguments, send), daemon=True)
        process.start()
        send.close()
        running.append((process, receive))
    found = []
    for process, receive in running:
        try:
            found.append(receive.recv())
        except EOFError:
            process.join()
            raise RuntimeError(f"a process of the stream ended with status {process.exitcode}") from None
    for process, _ in running:
        process.join()
    *received, (sent, used) = found
    ages = sorted(age for part, _ in received for age in part)
    return Stream(
        frames=sent * _RECEIVERS,
        lost=sent * _RECEIVERS - len(ages),
        latency_ms=statistics.median(ages),
        latency_p99_ms=ages[int(0.99 * (len(ages) - 1))],
        processors=used + sum(part for _, part in received),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transport", choices=sorted(TRANSPORTS), default="udp")
    parser.add_argument("--reliability", choices=("reliable", "best_effort"), default="reliable")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--size", nargs=2, type=int, default=(480, 640), metavar=("HEIGHT", "WIDTH"))
    arguments = parser.parse_args()
    os.environ.update(TRANSPORTS[arguments.transport].environment())
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    stream = measure(arguments.reliability, arguments.seconds, tuple(arguments.size))
    print(json.dumps(vars(arguments) | dataclasses.asdict(stream)))


if __name__ == "__main__":
    main()
