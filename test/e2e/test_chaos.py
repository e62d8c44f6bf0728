"""The stack under a short schedule of faults: `apo chaos` as a user types it."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 540
KINDS = ("kill", "garbage", "estop", "adapter")
# what depends on the speed of the machine is judged by `make chaos`
UNTIMED = {"within_limits", "valid_files", "recorded_source", "no_foreign_code", "goes_on"}
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def run(tmp_path_factory, next_domain):
    """(printed text, report) of four faults of kinds that need nothing."""
    output = tmp_path_factory.mktemp("chaos") / "run"
    environment = {**os.environ, "ROS_DOMAIN_ID": str(next_domain()), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        environment.pop(name, None)  # ./apo sets the product's own transports
    options = ["--faults", "4", "--seed", "3", "--one-machine", "--no-disk", "--output", str(output)]
    options += ["--start-s", "300", "--recovery-s", "120", "--only", *KINDS]
    process = subprocess.Popen(
        [str(ROOT / "apo"), "chaos", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        text, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)
        raise
    return text, json.loads((output / "report.json").read_text())


def test_every_fault_was_applied_and_recovered_from(run):
    text, report = run
    assert report["faults_applied"] == 4, text
    assert [row for row in report["schedule"] if row["recovery_s"] is None] == [], text
    assert {row["kind"] for row in report["schedule"]} == set(KINDS)
    assert not report["stopped"], text


def test_nothing_was_violated(run):
    text, report = run
    assert [found for found in report["violations"] if found["invariant"] in UNTIMED] == [], text


def test_the_invariants_were_checked(run):
    text, report = run
    names = {"within_limits", "no_gap", "hold_in_time", "operator_first", "goes_on", "valid_files", "recorded_source"}
    assert {name for name in names if not report["invariants"][name]["checked"]} == set(), text


def test_memory_of_every_node_was_measured(run):
    _, report = run
    assert sorted(report["memory"]) == ["arbiter", "policy", "recorder", "sim_bridge", "teleop", "trainer"]
