"""What `inspect` and `bind` learn of a checkpoint in LeRobot's layout."""

import dataclasses
import json

import published_flows
import pytest
import yaml

from apo_core.contract.contract import load_contract
from apo_core.errors import CheckpointError, ConfigError
from apo_vla.cli.binding import bind
from apo_vla.loading import load_checkpoint, read_deployment, read_family

CONTRACT = "config/contract.yaml"


@pytest.mark.parametrize(
    ("kind", "title"), [("smolvla", "SmolVLA"), ("pi0", "pi0"), ("pi05", "pi0.5"), ("pi0_fast", "pi0-FAST")]
)
def test_a_family_is_found_by_its_type(flow_folder, pi0_folder, kind, title):
    folder = pi0_folder if kind == "pi0_fast" else flow_folder(kind)
    family, deployment = read_family(folder), read_deployment(folder)
    assert (family.name, family.title) == (kind, title)
    facts = family.facts(folder, load_checkpoint(folder), deployment)
    assert facts.state == deployment.state and facts.notes == ()


def test_a_camera_that_is_missing_is_noted(flow_copy):
    folder = flow_copy("smolvla")
    deployment = dataclasses.replace(read_deployment(folder), cameras=("agentview",))
    family = read_family(folder)
    facts = family.facts(folder, family.load(folder, "cpu", None, deployment), deployment)
    assert facts.notes[0].endswith("the model was also trained with observation.images.image2")


@pytest.mark.parametrize("kind", ["smolvla", "pi0", "pi05"])
def test_a_checkpoint_is_bound_to_a_robot(flow_copy, kind):
    folder = flow_copy(kind)
    state = ["ee_pose:position_axis_angle", "gripper_width:two_fingers"]
    path, faults = bind(folder, CONTRACT, {"state": state, "cameras": ["agentview", "wrist"]}, force=True)
    written = yaml.safe_load(path.read_text())
    assert written["contract_sha256"] == load_contract(CONTRACT).sha256
    assert (written["flow_steps"], written["statistics"]) == (0, "")
    assert "conventions" not in written and not faults.beyond
    assert load_checkpoint(folder).model.config.cameras == ("agentview", "wrist")


def test_state_and_actions_must_be_those_of_the_statistics(flow_copy):
    folder = flow_copy("pi0")
    with pytest.raises(ConfigError, match=r"makes 1 numbers, policy_preprocessor.json reads 8"):
        bind(folder, CONTRACT, {"state": ["gripper_width"]}, force=True)
    features = published_flows.data_set_statistics()
    features["action"] = {name: values[:6] for name, values in features["action"].items()}
    (folder / "stats.json").write_text(json.dumps(features))
    state = ["ee_pose:position_axis_angle", "gripper_width:two_fingers"]
    choices = {"state": state, "statistics": "stats.json", "action_scale": [1] * 6, "action_offset": []}
    with pytest.raises(ConfigError, match=r"stats.json has 6 numbers an action, the contract 7"):
        bind(folder, CONTRACT, choices, force=True)


@pytest.mark.parametrize("kind", ["smolvla", "pi05"])
def test_a_base_model_is_rejected_until_it_is_bound_to_statistics(tmp_path, kind):
    folder = getattr(published_flows, f"make_{kind}")(tmp_path / kind, statistics=False)
    with pytest.raises(CheckpointError, match=r"statistics \['action.*are missing; there are: none. Without them"):
        load_checkpoint(folder)
    with pytest.raises(CheckpointError, match=r"meta/stats.json of a LeRobot data set"):
        bind(folder, CONTRACT, {"state": ["gripper_width"]}, force=True)
    (folder / "stats.json").write_text(json.dumps(published_flows.data_set_statistics()))
    state = ["ee_pose:position_axis_angle", "gripper_width:two_fingers"]
    bind(folder, CONTRACT, {"state": state, "statistics": "stats.json"}, force=True)
    statistics = load_checkpoint(folder).statistics
    if kind == "pi05":
        assert statistics.action_low[:3] == pytest.approx((-0.02, -0.04, -0.03))
    else:
        assert statistics.action_high[:3] == pytest.approx((0.01, 0.01, 0.01))
