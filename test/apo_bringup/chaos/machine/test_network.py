"""Machines of their own: datagrams pass, and a line that is cut passes none."""

import subprocess
import sys

import pytest

from apo_bringup.chaos.machine.network import Network, missing
from apo_bringup.chaos.machine.switch import Line

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"network namespaces need {missing()}")

RECEIVE = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 9000))
print("ready", flush=True)
for _ in range(int(sys.argv[1])):
    print(s.recv(100).decode(), flush=True)
"""
SEND = """
import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), ("10.99.0.2", 9000))
"""


@pytest.fixture
def network():
    made = Network(("a", "b"), seed=1)
    made.start()
    yield made
    made.close()


def test_a_cut_line_passes_nothing_and_a_slow_one_all(network):
    def send(text: str) -> None:
        subprocess.run([*network.command("a"), sys.executable, "-c", SEND, text], check=True, timeout=60)

    command = [*network.command("b"), sys.executable, "-c", RECEIVE, "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout.readline() == "ready\n"
        send("one")
        assert receiver.stdout.readline() == "one\n"
        network.set({"b": Line(cut=True)})
        send("two")
        network.set({"b": Line(delay_s=0.01)})
        send("three")
        # the one sent over the cut line would have come before
        assert receiver.stdout.readline() == "three\n"
        assert network.dropped >= 1
        receiver.kill()


def test_nothing_is_left_of_a_network():
    made = Network(("a",), seed=1)
    made.start()
    space = made.command("a")[-1]
    made.close()
    assert space not in subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
