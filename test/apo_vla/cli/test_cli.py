import json

import pytest

from apo_vla.cli.cli import main


def test_inspect_prints_what_a_checkpoint_is(openvla_folder, capsys):
    assert main(["inspect", str(openvla_folder)]) == 0
    output = capsys.readouterr().out
    for text in ("openvla (OpenVla)", "bridge_orig, taco_play (uses bridge_orig)", "1 x 7 actions, 0.2 s apart"):
        assert text in output
    assert output.count("changes the answer") == 2 and "in bfloat16" in output and "agentview" in output


def test_inspect_prints_json_for_programs(openvla_folder, capsys):
    assert main(["inspect", str(openvla_folder), "--json", "--no-run"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["family"] == "openvla" and output["dry_run"] is None


def test_errors_are_printed_without_a_traceback(tmp_path, capsys):
    assert main(["inspect", str(tmp_path)]) == 2
    assert "apo policy: " in capsys.readouterr().err


def bind_to(folder, robot, scale):
    arguments = ["--set", "statistics_key=bridge_orig", f"action_scale={scale}", "--force"]
    assert main(["bind", str(folder), "--robot", str(robot), *arguments]) == 0


def test_inspect_compares_units_with_the_contract(openvla_copy, robot, capsys):
    bind_to(openvla_copy, robot, [5, 5, 5, 5, 5, 5, -2])
    assert main(["inspect", str(openvla_copy), "--robot", str(robot), "--no-run"]) == 0
    assert "units: " not in capsys.readouterr().out
    bind_to(openvla_copy, robot, [100, 5, 5, 5, 5, 5, -2])
    capsys.readouterr()
    assert main(["inspect", str(openvla_copy), "--robot", str(robot), "--no-run"]) == 1
    assert "units: vx: the training data reach -2 .. 3 m/s, the contract -1 .. 1" in capsys.readouterr().out


def test_inspect_notes_units_that_never_reach_a_tenth(openvla_copy, robot, capsys):
    bind_to(openvla_copy, robot, [1, 5, 5, 5, 5, 5, -2])
    capsys.readouterr()
    assert main(["inspect", str(openvla_copy), "--robot", str(robot), "--no-run"]) == 0
    assert "units: vx: the training data reach -0.02 .. 0.03 m/s" in capsys.readouterr().out


def test_inspect_compares_no_units_with_another_contract(openvla_folder, robot, capsys):
    assert main(["inspect", str(openvla_folder), "--robot", str(robot), "--no-run"]) == 0
    assert f"bound to another contract than {robot}: units are not compared" in capsys.readouterr().out


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_an_error(openvla_folder, capsys, device):
    assert main(["inspect", str(openvla_folder), "--device", device]) == 2
    assert f"device = '{device}' cannot be used" in capsys.readouterr().err
