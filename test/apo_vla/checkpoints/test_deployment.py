import re

import pytest

from apo_core.errors import CheckpointError, ConfigError
from apo_vla.checkpoints import deployment as deployments
from apo_vla.families.openvla.deployment import OpenVlaDeployment


def read_deployment(folder) -> OpenVlaDeployment:
    return deployments.read_deployment(folder, OpenVlaDeployment, {}, "OpenVLA")


def test_a_missing_parameter_has_its_default(tmp_path):
    (tmp_path / "deployment.yaml").write_text("cameras: [agentview]\nperiod_s: 0.05\n")
    found = read_deployment(tmp_path)
    assert found == OpenVlaDeployment(cameras=("agentview",), period_s=0.05)
    assert found.period_ns == 50_000_000


def test_the_error_for_no_file_names_the_command(tmp_path):
    with pytest.raises(CheckpointError, match=r"deployment.yaml is missing.*apo policy bind"):
        read_deployment(tmp_path)


def test_faults_name_the_parameter_and_the_file(tmp_path):
    path = tmp_path / "deployment.yaml"
    path.write_text("cameras: [a, a]\nstate: [ee_pose:euler]\nprompt: go\n")
    with pytest.raises(ConfigError) as error:
        read_deployment(tmp_path)
    assert error.value.source == str(path) and len(error.value.faults) == 3
    path.write_text("camera: [a]\nresampling: nearest\n")
    with pytest.raises(ConfigError, match=r"camera is not a parameter(?s:.*)resampling = 'nearest' is not one of"):
        read_deployment(tmp_path)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("prompt: 'do {instruction} {x}'", "must contain {instruction}, and no other braces"),
        ("prompt: 'do {instruction} {'", "must contain {instruction}, and no other braces"),
        ("action_scale: [1.0, 0.0]", "action_scale = [1.0, 0.0] must be finite and not 0"),
        ("action_offset: [.nan]", "action_offset = [nan] must be finite"),
    ],
)
def test_values_that_cannot_be_used_are_rejected(tmp_path, line, fault):
    (tmp_path / "deployment.yaml").write_text(line + "\n")
    with pytest.raises(ConfigError, match=re.escape(fault)):
        read_deployment(tmp_path)


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "just text"])
def test_what_is_no_mapping_is_rejected(tmp_path, text):
    (tmp_path / "deployment.yaml").write_text(text)
    with pytest.raises((CheckpointError, ConfigError), match=r"deployment.yaml"):
        read_deployment(tmp_path)
