"""The policy node asks for help by a calibration, and reports an adapter that has none."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from adapter_samples import plain_manifest
from policy_robot import CONTRACT_FILE, WAIT_S, Robot, small_checkpoint, start

torch = pytest.importorskip("torch")

from small_policy import random_adapter  # noqa: E402

from apo_core.adapters.calibration import HelpCalibration  # noqa: E402
from apo_core.adapters.calibration_file import identity, write_calibration  # noqa: E402
from apo_core.adapters.store import AdapterStore  # noqa: E402
from apo_core.help.score import HelpScore, Weight  # noqa: E402
from apo_core.ros.conversions import to_ns  # noqa: E402
from apo_vla.lora.adapter import LoraSettings, adapter_config  # noqa: E402
from apo_vla.policy import VlaPolicy  # noqa: E402

LORA = LoraSettings(rank=2, alpha=4.0)
STILL = HelpScore({"dwell_s": Weight(0.0, 1.0, 1.0)}, 0.0, 0.35)  # an alarm after 0.35 s in one place


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> AdapterStore:
    return AdapterStore(tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def policy(checkpoint) -> VlaPolicy:
    return VlaPolicy.load(checkpoint, lora=LORA)


@pytest.fixture(scope="module")
def calibrate(store, policy):
    """Writes the calibration of an adapter."""

    def write(number: int) -> None:
        who = identity(store, number, policy.base_sha256, policy.statistics_sha256, policy.contract_sha256)
        write_calibration(store.path, HelpCalibration(who, 2, 0, STILL, 0.1, 2.0, {}, "2026-01-02"))

    return write


@pytest.fixture(scope="module")
def robot(tmp_path_factory, store, checkpoint, policy, calibrate, next_domain) -> Iterator[Robot]:
    """A robot beside a node whose base policy has a calibration, and adapter 1 none."""
    calibrate(0)
    store.publish(random_adapter(policy.model, 0), adapter_config(LORA), plain_manifest(policy))
    parameters = {
        "contract_file": str(CONTRACT_FILE),
        "checkpoint_dir": str(checkpoint),
        "adapter_dir": str(store.path),
        "promotion": "manual",
        "lora_rank": LORA.rank,
        "lora_alpha": LORA.alpha,
        "replan_steps": 2,
        "poll_s": 0.05,
        "lockstep": True,
        "use_sim_time": True,
        "command_wait_s": 20.0,
        "help_rule": "calibrated",
    }
    domain = next_domain()
    process = start(domain, tmp_path_factory.mktemp("node"), parameters)
    robot = Robot(domain)
    try:
        robot.until(lambda: robot.found() or process.poll() is not None, "the node")
        assert process.poll() is None, process.stderr.read()
        yield robot
    finally:
        robot.close()
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=WAIT_S)
        finally:
            process.kill()


def wanted(robot: Robot, places: list[float]) -> list[bool]:
    """Whether help is wanted with each new chunk of a new trial, with the hand at x [m] in each tick."""
    count = len(robot.doubts)
    for tick, x in enumerate(places):
        robot.tick(gap=1 if tick else 40, x=x)
    last_ns = to_ns(robot.chunks[-1].observation_stamp)
    robot.until(lambda: robot.doubts[count:] and to_ns(robot.doubts[-1].header.stamp) == last_ns, "the doubts")
    return [doubt.help_wanted for doubt in robot.doubts[count:]]


def test_a_hand_that_stays_where_it_is_wants_help(robot):
    robot.load(0)
    # a chunk every 0.1 s
    assert wanted(robot, [0.0] * 10) == [False, False, False, False, True]
    robot.until(lambda: robot.diagnostics().get("help_score") == "0.400", "the score in the diagnostics")
    assert robot.diagnosis().startswith("requests help")


def test_a_hand_that_moves_wants_none(robot):
    robot.load(0)
    assert wanted(robot, [0.02 * tick for tick in range(10)]) == [False] * 5


def test_an_adapter_without_a_calibration_is_reported_until_it_has_one(robot, calibrate, store):
    robot.load(1)
    assert wanted(robot, [0.0] * 10) == [False] * 5
    robot.until(lambda: robot.diagnosis().startswith("help_rule = 'calibrated', but adapter 1 has no"), "the warning")
    assert f"./apo help calibrate EPISODES --adapters {store.path} --adapter 1" in robot.diagnosis()

    calibrate(1)
    robot.until(lambda: not robot.diagnostics().get("adapter_warning"), "the calibration")
    assert wanted(robot, [0.0] * 10) == [False, False, False, False, True]
