import pytest
import yaml

from apo_core.contract.contract import load_contract
from apo_vla.cli.cli import main
from apo_vla.families.openvla.deployment import OpenVlaDeployment
from apo_vla.families.small_vla.checkpoint import save_checkpoint
from apo_vla.loading import read_deployment
from apo_vla.policy import VlaPolicy


def test_bind_writes_a_deployment_that_serves(openvla_copy, robot, capsys):
    (openvla_copy / "deployment.yaml").unlink()
    choices = ["--set", "statistics_key=bridge_orig", "centre_crop=true"]
    assert main(["bind", str(openvla_copy), "--robot", str(robot), *choices]) == 0
    assert "check action_scale" in capsys.readouterr().out
    found, contract = read_deployment(openvla_copy), load_contract(robot)
    wanted = OpenVlaDeployment(
        contract_sha256=contract.sha256,
        period_s=0.2,
        cameras=("front",),
        statistics_key="bridge_orig",
        action_scale=(5.0,) * 6 + (-2.0,),
        action_offset=(0.0,) * 6 + (1.0,),
        centre_crop=True,
    )
    assert found == wanted
    assert VlaPolicy.load(openvla_copy, lora=None).contract_sha256 == contract.sha256
    text = (openvla_copy / "deployment.yaml").read_text()
    assert '# cameras of the contract, in the order the model takes its images\ncameras: ["front"]' in text


def test_bind_takes_scale_and_period_of_the_data_but_not_another_hash(openvla_copy, robot):
    (openvla_copy / "deployment.yaml").unlink()
    scale = "action_scale=[1, 1, 1, 2, 2, 2, -2]"
    choices = ["--set", "statistics_key=bridge_orig", "period_s=0.2", scale, "contract_sha256=abc"]
    assert main(["bind", str(openvla_copy), "--robot", str(robot), *choices]) == 0
    found = read_deployment(openvla_copy)
    assert (found.action_scale, found.action_offset[-1]) == ((1.0, 1.0, 1.0, 2.0, 2.0, 2.0, -2.0), 1.0)
    assert (found.period_s, found.contract_sha256) == (0.2, load_contract(robot).sha256)


def test_bind_warns_of_units_that_do_not_fit(openvla_copy, robot, capsys):
    (openvla_copy / "deployment.yaml").unlink()
    scale = "action_scale=[200, 5, 0.01, 5, 5, 5, -2]"
    arguments = ["bind", str(openvla_copy), "--robot", str(robot), "--set", "statistics_key=bridge_orig", scale]
    assert main(arguments) == 0
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert warnings[0].startswith("warning: vx: the training data reach ")
    assert any(line.startswith("warning: vz: the training data reach ") for line in warnings)


def test_bind_keeps_what_is_there(openvla_copy, robot, capsys):
    before = (openvla_copy / "deployment.yaml").read_text()
    assert main(["bind", str(openvla_copy), "--robot", str(robot), "--set", "statistics_key=taco_play"]) == 2
    assert "is there already; --force replaces it" in capsys.readouterr().err
    assert (openvla_copy / "deployment.yaml").read_text() == before
    assert main(["bind", str(openvla_copy), "--robot", str(robot), "--set", "statistics_key=taco_play", "--force"]) == 0
    assert read_deployment(openvla_copy).statistics_key == "taco_play"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "statistics_key=x"], "must be one of: bridge_orig, taco_play"),
        (
            ["--set", "statistics_key=bridge_orig", "--camera", "wrist"],
            "camera 'wrist' is not in the contract; known: front",
        ),
        (
            ["--set", "statistics_key=bridge_orig", "--state", "force"],
            "state 'force' is not in the contract; known: ee_pose, gripper_width",
        ),
        (["--set", "statistics_key=bridge_orig", "--chunk", "0"], "chunk = 0 is below its limit 1"),
        (["--set", "statistics_key=bridge_orig", "crop=true"], "crop"),
    ],
)
def test_bind_rejects_what_the_robot_or_the_data_lack(openvla_copy, robot, capsys, arguments, message):
    (openvla_copy / "deployment.yaml").unlink()
    assert main(["bind", str(openvla_copy), "--robot", str(robot), *arguments]) == 2
    assert message in capsys.readouterr().err and not (openvla_copy / "deployment.yaml").exists()


POSE, FINGERS = "ee_pose:position_axis_angle", "gripper_width:two_fingers"


def test_bind_of_pi0_fast_takes_the_state(pi0_copy, robot, capsys):
    (pi0_copy / "deployment.yaml").unlink()
    assert main(["bind", str(pi0_copy), "--robot", str(robot)]) == 2
    assert "state must list" in capsys.readouterr().err
    assert main(["bind", str(pi0_copy), "--robot", str(robot), "--state", POSE]) == 2
    assert f"state ['{POSE}'] makes 6 numbers, policy_preprocessor.json reads 8" in capsys.readouterr().err
    assert main(["bind", str(pi0_copy), "--robot", str(robot), "--state", POSE, "--state", FINGERS]) == 0
    assert read_deployment(pi0_copy).state == (POSE, FINGERS)


def test_bind_of_pi0_fast_rejects_what_it_does_not_have(pi0_copy, robot, capsys):
    (pi0_copy / "deployment.yaml").unlink()
    arguments = ["--state", POSE, "--set", "statistics_key=x", "centre_crop=true", "--chunk", "5"]
    assert main(["bind", str(pi0_copy), "--robot", str(robot), *arguments]) == 2
    output = capsys.readouterr().err
    for text in ("statistics_key = 'x'", "centre_crop = True", "chunk = 5"):
        assert f"{text} cannot be used with pi0-FAST: leave it out" in output
    assert not (pi0_copy / "deployment.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "state = [], the checkpoint reads 8 numbers of proprioception"),
        (["--state", POSE], "makes 6 numbers, proprio_projector--150000_checkpoint.pt reads 8"),
        (
            ["--state", "gripper_width:position_axis_angle"],
            "position_axis_angle takes 7 number(s), 'gripper_width' has 1",
        ),
    ],
)
def test_bind_rejects_a_state_that_the_checkpoint_does_not_read(oft_copy, robot, capsys, arguments, message):
    (oft_copy / "deployment.yaml").unlink()
    assert main(["bind", str(oft_copy), "--robot", str(robot), "--chunk", "8", *arguments]) == 2
    assert message in capsys.readouterr().err and not (oft_copy / "deployment.yaml").exists()


def test_bind_needs_the_chunk_of_openvla_oft(oft_copy, robot, capsys):
    (oft_copy / "deployment.yaml").unlink()
    assert main(["bind", str(oft_copy), "--robot", str(robot), "--state", POSE]) == 2
    assert "chunk is not given, and action_head is OpenVLA-OFT's: --chunk N" in capsys.readouterr().err
    assert not (oft_copy / "deployment.yaml").exists()


OFT = ["--chunk", "8", "--state", POSE, "--state", FINGERS]


def test_bind_of_libero_takes_the_pictures_of_its_authors(oft_copy, robot):
    (oft_copy / "deployment.yaml").unlink()
    assert main(["bind", str(oft_copy), "--robot", str(robot), *OFT]) == 0
    found = read_deployment(oft_copy)
    assert (found.statistics_key, found.resampling, found.centre_crop) == (
        "libero_spatial_no_noops",
        "lanczos_jpeg",
        True,
    )


def test_bind_of_libero_takes_the_units_of_osc_pose(oft_copy, robot, capsys):
    (oft_copy / "deployment.yaml").unlink()
    assert main(["bind", str(oft_copy), "--robot", str(robot), *OFT]) == 0
    found = read_deployment(oft_copy)
    # 0.05 m and 0.5 rad a step, at the contract's 5 Hz
    assert found.action_scale == (0.25, 0.25, 0.25, 2.5, 2.5, 2.5, -2.0)
    assert found.action_offset == (0.0,) * 6 + (1.0,)
    assert "warning: orientation is empty: OpenVLA's LIBERO pictures" in capsys.readouterr().out
    turned = ["--set", "orientation=[mirror]", "action_scale=[1, 1, 1, 1, 1, 1, -2]", "--force"]
    assert main(["bind", str(oft_copy), "--robot", str(robot), *OFT, *turned]) == 0
    assert read_deployment(oft_copy).action_scale == (1.0,) * 6 + (-2.0,)
    assert "orientation is empty" not in capsys.readouterr().out


def test_bind_of_libero_keeps_what_is_chosen(oft_copy, robot):
    (oft_copy / "deployment.yaml").unlink()
    choices = ["--set", "resampling=bicubic", "centre_crop=false"]
    assert main(["bind", str(oft_copy), "--robot", str(robot), *OFT, *choices]) == 0
    found = read_deployment(oft_copy)
    assert (found.resampling, found.centre_crop) == ("bicubic", False)


def test_bind_rejects_two_cameras_for_one_that_looks_through_one(openvla_copy, robot, tmp_path, capsys):
    (openvla_copy / "deployment.yaml").unlink()
    data = yaml.safe_load(robot.read_text())
    images = {name: data["images"]["front"] | {"topic": name} for name in ("front", "wrist")}
    two = tmp_path / "two.yaml"
    two.write_text(yaml.safe_dump({**data, "images": images}))
    arguments = ["--set", "statistics_key=bridge_orig", "--camera", "front", "--camera", "wrist"]
    assert main(["bind", str(openvla_copy), "--robot", str(two), *arguments]) == 2
    assert "OpenVLA looks through one camera" in capsys.readouterr().err


def test_bind_reports_a_file_that_cannot_be_written(openvla_copy, robot, capsys):
    (openvla_copy / "deployment.yaml").unlink()
    (openvla_copy / "deployment.yaml").mkdir()
    arguments = ["bind", str(openvla_copy), "--robot", str(robot), "--set", "statistics_key=bridge_orig", "--force"]
    assert main(arguments) == 2
    assert "deployment.yaml: cannot be written" in capsys.readouterr().err


def test_the_small_vla_is_bound_already(tmp_path, robot, capsys, tiny_model, tiny_tokenizer, tiny_statistics):
    save_checkpoint(tmp_path / "small", tiny_model, tiny_tokenizer, tiny_statistics, {})
    assert main(["bind", str(tmp_path / "small"), "--robot", str(robot)]) == 2
    assert "bound to its robot when it is made" in capsys.readouterr().err
