import json

import pytest
import yaml

from apo_core.contract import load_contract
from apo_core.vla.checkpoint import save_checkpoint
from apo_core.vla.cli import main
from apo_core.vla.deployment import Deployment, read_deployment
from apo_core.vla.policy import VlaPolicy

CONTRACT = {
    "version": 1,
    "rate_hz": 5.0,
    "frame_id": "base",
    "tolerance_s": 0.05,
    "max_age_s": 1.0,
    "images": {"front": {"topic": "front", "height": 48, "width": 64, "encoding": "rgb8"}},
    "state": {"ee_pose": {"topic": "pose", "type": "geometry_msgs/msg/PoseStamped", "size": 7, "unit": "m"}},
    "action": {
        "names": ["vx", "vy", "vz", "wx", "wy", "wz", "gripper"],
        "units": ["m/s"] * 3 + ["rad/s"] * 3 + ["-1 open .. 1 closed"],
        "low": [-1.0] * 7,
        "high": [1.0] * 7,
    },
    "limits": {
        "linear_speed": 1.0,
        "angular_speed": 1.0,
        "workspace_low": [-1.0, -1.0, 0.0],
        "workspace_high": [1.0, 1.0, 1.0],
    },
}


@pytest.fixture
def robot(tmp_path):
    path = tmp_path / "contract.yaml"
    path.write_text(yaml.safe_dump(CONTRACT))
    return path


def test_inspect_prints_what_a_checkpoint_is(openvla_folder, capsys):
    assert main(["inspect", str(openvla_folder)]) == 0
    said = capsys.readouterr().out
    for text in ("openvla (OpenVla)", "bridge_orig, taco_play (uses bridge_orig)", "1 x 7 actions, 0.2 s apart"):
        assert text in said
    assert said.count("changes the answer") == 2 and "in bfloat16" in said and "agentview" in said


def test_inspect_prints_json_for_programs(openvla_folder, capsys):
    assert main(["inspect", str(openvla_folder), "--json", "--no-run"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["family"] == "openvla" and said["dry_run"] is None


def test_errors_are_told_without_a_traceback(tmp_path, capsys):
    assert main(["inspect", str(tmp_path)]) == 2
    assert "apo policy: " in capsys.readouterr().err


def test_bind_writes_a_deployment_that_serves(openvla_copy, robot, capsys):
    (openvla_copy / "deployment.yaml").unlink()
    arguments = ["bind", str(openvla_copy), "--robot", str(robot), "--statistics-key", "bridge_orig", "--centre-crop"]
    assert main(arguments) == 0
    assert "check action_scale" in capsys.readouterr().out
    found, contract = read_deployment(openvla_copy), load_contract(robot)
    wanted = Deployment(
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


def test_bind_keeps_what_is_there(openvla_copy, robot, capsys):
    before = (openvla_copy / "deployment.yaml").read_text()
    assert main(["bind", str(openvla_copy), "--robot", str(robot), "--statistics-key", "taco_play"]) == 2
    assert "is there already; --force replaces it" in capsys.readouterr().err
    assert (openvla_copy / "deployment.yaml").read_text() == before
    assert main(["bind", str(openvla_copy), "--robot", str(robot), "--statistics-key", "taco_play", "--force"]) == 0
    assert read_deployment(openvla_copy).statistics_key == "taco_play"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--statistics-key", "x"], "must be one of: bridge_orig, taco_play"),
        (
            ["--statistics-key", "bridge_orig", "--camera", "wrist"],
            "camera 'wrist' is not in the contract; known: front",
        ),
        (
            ["--statistics-key", "bridge_orig", "--state", "force"],
            "state 'force' is not in the contract; known: ee_pose",
        ),
    ],
)
def test_bind_refuses_what_the_robot_or_the_data_lack(openvla_copy, robot, capsys, arguments, message):
    (openvla_copy / "deployment.yaml").unlink()
    assert main(["bind", str(openvla_copy), "--robot", str(robot), *arguments]) == 2
    assert message in capsys.readouterr().err and not (openvla_copy / "deployment.yaml").exists()


def test_bind_of_pi0_fast_takes_the_state(pi0_copy, robot, capsys):
    (pi0_copy / "deployment.yaml").unlink()
    assert main(["bind", str(pi0_copy), "--robot", str(robot)]) == 2
    assert "state must say" in capsys.readouterr().err
    assert main(["bind", str(pi0_copy), "--robot", str(robot), "--state", "ee_pose:position_axis_angle"]) == 0
    assert read_deployment(pi0_copy).state == ("ee_pose:position_axis_angle",)


def test_the_small_vla_is_bound_already(tmp_path, robot, capsys, tiny_model, tiny_tokenizer, tiny_statistics):
    save_checkpoint(tmp_path / "small", tiny_model, tiny_tokenizer, tiny_statistics, {})
    assert main(["bind", str(tmp_path / "small"), "--robot", str(robot)]) == 2
    assert "bound to its robot when it is made" in capsys.readouterr().err
