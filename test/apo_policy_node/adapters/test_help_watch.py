"""The calibration of the adapter that serves, read beside the inference."""

import dataclasses
import threading

import pytest

from apo_core.adapters.calibration import HelpCalibration, PolicyIdentity
from apo_core.adapters.calibration_file import write_calibration
from apo_core.adapters.signature import TrustedKeys, make_keys, read_trusted_keys
from apo_core.adapters.store import AdapterStore
from apo_core.help.score import HelpScore, Weight
from apo_policy_node.adapters.help_watch import HelpWatch

SCORE = HelpScore({"dwell_s": Weight(0.0, 1.0, 2.0)}, -1.0, 0.5)
WAIT_S = 10.0


def policy(number: int) -> PolicyIdentity:
    return PolicyIdentity(number, str(number) * 64 if number else "", "a" * 64, "b" * 64, "c" * 64)


def calibration(number: int, **changes) -> HelpCalibration:
    made = HelpCalibration(policy(number), 2, 0, SCORE, 0.1, 2.0, {}, "2026-01-02")
    return dataclasses.replace(made, **changes)


class Bench:
    """A watch on a store, and the adapter that serves."""

    def __init__(self, folder, poll_s: float = 60.0, trusted: TrustedKeys | None = None):
        self.serving, self.reports, self.folder = 0, [], folder
        self.watch = HelpWatch(
            AdapterStore(folder, trusted), lambda: self.serving, policy, 2, 0, poll_s, self.reports.append
        )


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path / "adapters")


def test_the_score_is_that_of_the_adapter_that_serves(bench):
    write_calibration(bench.folder, calibration(1))
    bench.serving = 1
    bench.watch.look()

    assert bench.watch.score_of(1) == SCORE
    assert bench.watch.score_of(0) is None
    assert (bench.watch.warning, bench.reports) == ("", [])


def test_an_adapter_without_a_calibration_is_reported_with_what_to_run(bench):
    bench.serving = 4
    bench.watch.look()
    bench.watch.look()

    command = f"./apo help calibrate EPISODES --adapters {bench.folder} --adapter 4"
    assert bench.watch.warning == f"help_rule = 'calibrated', but adapter 4 has no calibration: {command}"
    assert bench.reports == [bench.watch.warning]
    assert bench.watch.score_of(4) is None


def test_with_trusted_keys_only_a_signed_calibration_counts(tmp_path):
    key = make_keys(tmp_path / "a.key", tmp_path / "a.pub")
    bench = Bench(tmp_path / "adapters", trusted=read_trusted_keys(tmp_path / "a.pub"))
    write_calibration(bench.folder, calibration(0))
    bench.watch.look()
    assert bench.watch.score_of(0) is None and "it is not signed" in bench.watch.warning

    write_calibration(bench.folder, calibration(0), key)
    bench.watch.look()
    assert bench.watch.score_of(0) == SCORE and bench.watch.warning == ""


def test_a_calibration_that_appears_is_used(bench):
    bench.watch.look()
    assert bench.watch.warning
    write_calibration(bench.folder, calibration(0))
    bench.watch.look()
    assert (bench.watch.warning, bench.watch.score_of(0)) == ("", SCORE)


def test_a_calibration_of_other_weights_is_rejected(bench):
    write_calibration(bench.folder, calibration(1, policy=dataclasses.replace(policy(1), adapter_sha256="9" * 64)))
    bench.serving = 1
    bench.watch.look()
    assert (
        "is of another policy than adapter 1: adapter_sha256 = 999999999999 is not 111111111111" in bench.watch.warning
    )
    assert bench.watch.score_of(1) is None


def test_a_calibration_for_other_steps_is_rejected(bench):
    write_calibration(bench.folder, calibration(0, replan_steps=4, action_horizon=3))
    bench.watch.look()
    assert bench.watch.warning.startswith(
        "help_rule = 'calibrated', the base policy: replan_steps = 4 of the calibration is not 2 of the node; "
        "action_horizon = 3 of the calibration is not 0 of the node: ./apo help calibrate"
    )
    assert bench.watch.warning.endswith("--adapter 0 --replan-steps 2 --action-horizon 0")


def test_another_adapter_is_looked_up_by_the_thread(tmp_path):
    bench = Bench(tmp_path / "adapters")
    write_calibration(bench.folder, calibration(1))
    bench.watch.start()
    try:
        bench.serving = 1
        ended = threading.Event()
        for _ in range(round(WAIT_S / 0.01)):
            if bench.watch.score_of(1) is not None:
                break
            ended.wait(0.01)
        assert bench.watch.score_of(1) == SCORE
    finally:
        bench.watch.stop()


def test_a_watch_that_never_started_can_be_stopped(bench):
    bench.watch.stop()
