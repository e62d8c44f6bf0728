"""The stack under a short schedule of faults: `apo chaos` as a user types it."""

import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 840
KINDS = ("kill", "stop", "clock", "garbage", "estop", "reader", "adapter", "episode")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.environ.get("APO_CHAOS") != "1", reason="takes five to ten minutes: set APO_CHAOS=1"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory, next_domain):
    """(exit status, printed text, report) of nine faults of the kinds that need nothing."""
    output = tmp_path_factory.mktemp("chaos") / "run"
    environment = {**os.environ, "ROS_DOMAIN_ID": str(next_domain()), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        environment.pop(name, None)  # ./apo sets the product's own transports
    options = ["--faults", "9", "--seed", "11", "--one-machine", "--no-disk", "--output", str(output)]
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
    return process.returncode, text, json.loads((output / "report.json").read_text())


def test_every_fault_was_applied_and_recovered_from(run):
    _, text, report = run
    assert report["faults_applied"] == 9, text
    assert [row for row in report["schedule"] if row["recovery_s"] is None] == [], text
    assert Counter(row["kind"] for row in report["schedule"]) == {
        name: row["planned"] for name, row in report["kinds"].items()
    }


def test_nothing_was_violated(run):
    status, text, report = run
    assert report["violations"] == [], text
    assert status == 0, text


def test_the_invariants_were_checked(run):
    _, text, report = run
    names = {"within_limits", "no_gap", "hold_in_time", "operator_first", "goes_on", "valid_files", "recorded_source"}
    assert {name for name in names if not report["invariants"][name]["checked"]} == set(), text


def test_memory_of_every_node_was_measured(run):
    _, _, report = run
    assert sorted(report["memory"]) == ["arbiter", "policy", "recorder", "sim_bridge", "teleop", "trainer"]
