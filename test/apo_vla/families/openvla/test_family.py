import dataclasses

import pytest

from apo_core.errors import CheckpointError
from apo_vla.families.openvla.family import OpenVlaFamily
from apo_vla.loading import load_checkpoint, read_deployment


def test_facts_are_the_statistics_to_choose_from(openvla_folder):
    deployment = read_deployment(openvla_folder)
    facts = OpenVlaFamily().facts(openvla_folder, load_checkpoint(openvla_folder), deployment)
    assert (facts.statistics, facts.chosen_statistics) == (("bridge_orig", "taco_play"), "bridge_orig")
    assert (facts.state, facts.notes) == ((), ())


def test_facts_of_oft_name_its_head_and_state(oft_folder):
    deployment = read_deployment(oft_folder)
    facts = OpenVlaFamily().facts(oft_folder, load_checkpoint(oft_folder), deployment)
    assert facts.notes == ("continuous action head (action_head--*_checkpoint.pt)",)
    assert facts.state == deployment.state and len(facts.state) == 2


def test_an_oft_of_one_action_is_noted(oft_folder):
    deployment = dataclasses.replace(read_deployment(oft_folder), chunk=1)
    facts = OpenVlaFamily().facts(oft_folder, load_checkpoint(oft_folder, deployment=deployment), deployment)
    assert facts.notes[1].startswith("chunk = 1 (deployment.yaml): OpenVLA-OFT predicts 8 actions of LIBERO")


def test_an_adapter_that_is_not_merged_is_noted(openvla_copy):
    (openvla_copy / "lora_adapter").mkdir()
    (openvla_copy / "lora_adapter" / "adapter_config.json").write_text("{}")
    deployment = read_deployment(openvla_copy)
    facts = OpenVlaFamily().facts(openvla_copy, load_checkpoint(openvla_copy), deployment)
    assert facts.notes[0].startswith("lora_adapter: not merged (adapter = '', deployment.yaml), right where")


def test_pictures_made_otherwise_than_libero_s_are_noted(oft_folder):
    checkpoint, deployment = load_checkpoint(oft_folder), read_deployment(oft_folder)
    differing = dataclasses.replace(deployment, resampling="bicubic", centre_crop=False)
    notes = OpenVlaFamily().deployment_notes(checkpoint, differing)
    assert [note.split(" (")[0] for note in notes] == ["resampling = 'bicubic'", "centre_crop = False"]
    assert "'libero_spatial_no_noops' were trained and evaluated with 'lanczos_jpeg'" in notes[0]
    equal = dataclasses.replace(deployment, resampling="lanczos_jpeg", centre_crop=True)
    assert OpenVlaFamily().deployment_notes(checkpoint, equal) == []


def test_pictures_of_other_data_are_not_noted(openvla_folder):
    deployment = read_deployment(openvla_folder)
    assert OpenVlaFamily().deployment_notes(load_checkpoint(openvla_folder), deployment) == []


def test_a_stand_in_has_one_camera_and_the_first_statistics(openvla_copy):
    (openvla_copy / "deployment.yaml").unlink()
    deployment, note = OpenVlaFamily().stand_in(openvla_copy)
    assert (deployment.cameras, deployment.statistics_key, deployment.chunk) == (("camera",), "bridge_orig", 1)
    assert note.startswith("no deployment.yaml")


def test_a_stand_in_needs_a_readable_config(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config.json: cannot be read"):
        OpenVlaFamily().stand_in(tmp_path)
