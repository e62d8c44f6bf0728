"""Time of messages at 20 Hz over a line that loses packets, with the data_writer of the profiles and without it.

    sudo -E .venv/bin/python bench/middleware/lossy_line.py --loss 0.2

Needs what `./apo chaos` needs for its machines: root, `ip`, /dev/net/tun. Nothing leaves the machine.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rclpy
from std_msgs.msg import Header

from apo_bringup.chaos.machine.network import Network, missing
from apo_bringup.chaos.machine.switch import Line
from apo_core.ros.conversions import to_ns, to_stamp
from apo_core.ros.qos import COMMANDS

ROOT = Path(__file__).parents[2]
PROFILE = ROOT / "config" / "fastdds_network_udp.xml"
DOMAIN, TOPIC, PERIOD_S, START_S, KEPT = "88", "stamps", 0.05, 6.0, 680


def publish() -> None:
    """Sends the time until it is killed."""
    rclpy.init()
    node = rclpy.create_node("sender")
    publisher = node.create_publisher(Header, TOPIC, COMMANDS)
    node.create_timer(PERIOD_S, lambda: publisher.publish(Header(stamp=to_stamp(time.time_ns()))))
    rclpy.spin(node)


def receive() -> None:
    """Prints the age in ms of each message at its arrival, a line each."""
    rclpy.init()
    node = rclpy.create_node("receiver")
    ages: list[float] = []
    node.create_subscription(Header, TOPIC, lambda m: ages.append((time.time_ns() - to_ns(m.stamp)) / 1e6), COMMANDS)
    skipped = 0
    began = time.monotonic()
    while len(ages) < skipped + KEPT:
        rclpy.spin_once(node, timeout_sec=0.1)
        if not skipped and time.monotonic() - began > START_S + 1.0:
            skipped = len(ages)
    print("\n".join(f"{age:.3f}" for age in ages[skipped:]))


def measure(profile: Path, loss: float) -> np.ndarray:
    """Ages (KEPT,) ms over a line that loses a share of its packets."""
    network = Network(("a", "b"), seed=1)
    network.start()
    profiles = dict.fromkeys(("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"), str(profile))
    environment = {**os.environ, **profiles, "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "ROS_DOMAIN_ID": DOMAIN}
    try:
        receiver, sender = (
            subprocess.Popen(
                [*network.command(machine), sys.executable, __file__, "--role", role],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            for machine, role in (("b", "receive"), ("a", "publish"))
        )
        time.sleep(START_S)
        network.set({"b": Line(loss=loss)})
        printed, _ = receiver.communicate()
        sender.kill()
        sender.communicate()
    finally:
        network.close()
    return np.array([float(line) for line in printed.split()])


def main() -> None:
    """Prints both rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--loss", type=float, default=0.2, help="share of packets (default 0.2)")
    parser.add_argument("--role", choices=("publish", "receive"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        {"publish": publish, "receive": receive}[arguments.role]()
        return
    if lacking := missing():
        parser.error(f"needs {lacking}")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.xml"
        plain.write_text(re.sub(r"  <data_writer.*</data_writer>\n", "", PROFILE.read_text(), flags=re.DOTALL))
        for name, profile in (("Fast DDS's own", plain), (PROFILE.name, PROFILE)):
            ages = measure(profile, arguments.loss)
            p50, p90, p99 = np.percentile(ages, (50, 90, 99))
            figures = f"p50 {p50:.1f} ms, p90 {p90:.1f} ms, p99 {p99:.1f} ms, at most {ages.max():.1f} ms"
            print(f"{name}: {len(ages)} messages, loss {arguments.loss:.0%}: {figures}")


if __name__ == "__main__":
    main()
