"""The images' files agree with the command line and with each other; building them needs an engine."""

import re
from pathlib import Path

import pytest
import yaml

from apo_bringup.cli import parser

DOCKER = Path(__file__).resolve().parents[1] / "docker"
SERVICES = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
DOCKERFILE = (DOCKER / "Dockerfile").read_text()


def default_command(target: str) -> list[str]:
    """CMD of a target."""
    stage = DOCKERFILE.split(f"FROM base AS {target}\n")[1].split("\nFROM ")[0]
    return yaml.safe_load(re.search(r"^CMD (\[.*\])$", stage, re.MULTILINE)[1])


@pytest.mark.parametrize("name", ["sim", "robot", "train"])
def test_a_service_runs_a_command_that_exists_on_a_target_that_exists(name):
    service = SERVICES[name]
    target = service["build"]["target"]
    arguments = parser().parse_args(service.get("command") or default_command(target))
    assert arguments.command == "up"
    assert arguments.data_dir == "/data"
    assert any(volume.endswith(":/data") for volume in service["volumes"])
    assert service["profiles"] == [name]
    # the recorder ends an episode cleanly only when it is interrupted, not killed
    assert service["stop_signal"] == "SIGINT"


def test_the_arm_side_has_no_trainer_and_the_simulation_no_operator_device():
    assert parser().parse_args(default_command("robot")).nodes == ["policy", "arbiter", "teleop", "recorder"]
    assert parser().parse_args(default_command("train")).nodes == ["trainer"]
    assert parser().parse_args(SERVICES["sim"]["command"]).sim


@pytest.mark.parametrize(
    ("name", "reads"), [("robot", ("robot", "params_file", "checkpoint_dir")), ("train", ("checkpoint_dir",))]
)
def test_what_a_robot_or_workstation_reads_is_mounted(name, reads):
    assert "command" not in SERVICES[name]
    arguments = vars(parser().parse_args(default_command(name)))
    assert all(arguments[option].startswith("/robot/") for option in reads)
    assert any(volume.endswith(":/robot:ro") for volume in SERVICES[name]["volumes"])


def test_only_services_of_several_machines_leave_this_one():
    ranges = {name: service["environment"]["ROS_AUTOMATIC_DISCOVERY_RANGE"] for name, service in SERVICES.items()}
    assert ranges == {"sim": "LOCALHOST", "robot": "SUBNET", "train": "SUBNET"}
