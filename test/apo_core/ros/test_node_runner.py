import os
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

WAIT_S = 60.0  # limit of a wait for something that will come
PROGRAM = """
import ctypes
import sys
import rclpy
from apo_core.ros.lifecycle import LifecycleBase
from apo_core.ros.node_runner import run


class Failing(LifecycleBase):
    def __init__(self):
        super().__init__("failing")
        self.create_timer(0.01, self.fail)

    def fail(self):
        raise ValueError("the first error")

    def deactivate(self):
        print("safe command", rclpy.ok(), flush=True)

    def close(self):
        print("closed", flush=True)

    def trigger_deactivate(self):
        super().trigger_deactivate()
        if "broken" in sys.argv:
            raise RuntimeError("the second error")

    def destroy_node(self):
        super().destroy_node()
        if "blocked" in sys.argv:
            ctypes.PyDLL(None).pause()  # holds Python's lock, as rclpy does while it calls the middleware


raise SystemExit(run(Failing, events="events" in sys.argv))
"""


def end_of(domain: int | str, *arguments: str) -> subprocess.CompletedProcess:
    """A process whose node raises in a callback while it is active."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


@pytest.mark.parametrize("executor", ["waiting", "events"])
def test_a_node_whose_callback_raises_is_deactivated_before_it_closes(executor, next_domain):
    done = end_of(next_domain(), executor)
    assert done.stdout.splitlines() == ["safe command True", "closed"]
    assert done.returncode == 1
    assert "ValueError: the first error" in done.stderr


def test_failure_of_the_deactivation_is_logged_and_hides_nothing(next_domain):
    done = end_of(next_domain(), "broken")
    assert done.stdout.splitlines() == ["safe command True", "closed"]
    assert done.returncode == 1
    assert "RuntimeError: the second error" in done.stderr
    assert done.stderr.rstrip().endswith("ValueError: the first error")


def test_a_node_that_blocks_in_the_middleware_ends_with_its_stacks(next_domain):
    done = end_of(next_domain(), "blocked")
    assert done.stdout.splitlines() == ["safe command True", "closed"]
    assert done.returncode == 1
    assert "Timeout (0:00:10)!" in done.stderr
    assert "in destroy_node" in done.stderr and "in _destroy" in done.stderr


def test_a_domain_that_no_node_can_use_is_an_error_in_a_line():
    done = end_of("abc")
    assert done.returncode == 2
    assert done.stderr.startswith("ConfigError: ") and "Traceback" not in done.stderr
    assert "ROS_DOMAIN_ID = 'abc' must be a whole number of 0 .. 232" in done.stderr
