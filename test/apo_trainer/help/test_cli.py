"""`apo help calibrate` with a small policy and its recorded episodes."""

import json

import pytest

pytest.importorskip("torch")

from apo_core.types import Outcome
from apo_trainer.help.cli import main
from apo_vla.policy import VlaPolicy


@pytest.fixture
def policy(checkpoint):
    return VlaPolicy.load(checkpoint)


@pytest.fixture
def recorded(policy, record, tmp_path):
    """12 unaided successes and 8 takeovers."""
    for number in range(12):
        record(policy, f"good{number:02d}", "PPPPPP", level=5 * number)
    for number in range(8):
        record(policy, f"aided{number:02d}", "PPPPPPPPHHPP", level=100 + 5 * number)
    return tmp_path / "episodes"


@pytest.fixture
def arguments(recorded, checkpoint, tmp_path):
    options = ["--checkpoint", str(checkpoint), "--adapters", str(tmp_path / "adapters"), "--horizon", "0.2"]
    return ["calibrate", str(recorded), *options, "--false-alarms", "0.25"]


def test_a_calibration_is_learned_shown_and_written(arguments, policy, tmp_path, capsys):
    assert main(arguments) == 0

    written = json.loads((tmp_path / "adapters" / "help" / "000000.json").read_text())
    assert written["policy"] == {
        "number": 0,
        "adapter_sha256": "",
        "base_model_sha256": policy.base_sha256,
        "statistics_sha256": policy.statistics_sha256,
        "contract_sha256": policy.contract_sha256,
    }
    assert (written["replan_steps"], written["action_horizon"]) == (2, 0)
    assert (written["false_alarms"], written["horizon_s"]) == (0.25, 0.2)
    assert written["measures"]["episodes"] == [8, 6, 6]
    printed = capsys.readouterr().out.splitlines()
    assert "the base policy: 20 episodes, replan_steps = 2" in printed
    assert any(line.startswith("100.0% of ") for line in printed)
    assert [line.split()[0] for line in printed if line[:10] in ("calibrated", "entropy   ")] == [
        "calibrated",
        "entropy",
    ]
    assert printed[-1].endswith("000000.json; serve with help_rule: calibrated")


def test_other_episodes_are_left_out_and_counted(arguments, policy, record, capsys):
    record(policy, "open", "PPPP", outcome=Outcome.UNLABELED)
    record(policy, "other", "PPPP", version=3)
    assert main(arguments) == 0

    printed = capsys.readouterr().out
    assert "left out: 1 episode(s), because each has no outcome" in printed
    assert "left out: 1 episode(s), because each was driven by adapter [3], not 0" in printed


def test_too_few_episodes_are_an_error(arguments, capsys):
    assert main([*arguments[:-1], "0.1"]) == 2
    fault = "12 unaided successes leave 4 for the threshold, false alarms = 0.1 need 9: record 29 unaided successes"
    assert fault in capsys.readouterr().err


def test_episodes_of_another_policy_are_an_error(policy, record, checkpoint, tmp_path, capsys):
    class Other:
        def predict(self, observation):
            chunk = policy.predict(observation)
            chunk.values[:] = -chunk.values + 0.3
            return chunk

    for number in range(4):
        record(Other(), f"e{number}", "PPPP", level=9 * number)
    options = ["--checkpoint", str(checkpoint), "--false-alarms", "0.5"]
    assert main(["calibrate", str(tmp_path / "episodes"), *options]) == 2
    assert "recorded actions are those of this policy, at least 80% must be" in capsys.readouterr().err


def test_an_adapter_that_is_missing_is_an_error(arguments, capsys):
    assert main([*arguments, "--adapter", "7"]) == 2
    assert "adapter 7 in" in capsys.readouterr().err
