import dataclasses
import json

import numpy as np
import pytest
import torch
import yaml

from apo_core.errors import CheckpointError
from apo_vla.cli.inspection import dry_run, inspect
from apo_vla.families.small_vla.checkpoint import save_checkpoint


def test_facts_of_a_published_checkpoint(openvla_folder):
    found, _ = inspect(openvla_folder)
    assert (found.family, found.architecture) == ("openvla", "OpenVla")
    assert set(found.parameters) == {"vision_backbone", "projector", "language_model"}
    assert found.memory_bytes == {b: n * sum(found.parameters.values()) for b, n in (("bfloat16", 2), ("float32", 4))}
    assert found.statistics == ["bridge_orig", "taco_play"] and found.chosen_statistics == "bridge_orig"
    assert (found.chunk, found.action_size, found.period_s) == (1, 7, 0.2)
    assert (found.cameras, found.state, found.contract_sha256) == (["agentview"], [], "c0ffee")
    assert found.file_bytes > 2 * sum(found.parameters.values()) and not found.notes


def test_facts_of_openvla_oft(oft_folder):
    found, policy = inspect(oft_folder)
    assert found.architecture == "OpenVlaOft" and found.chunk == 8 and len(found.state) == 2
    assert "action_head" in found.parameters and "proprio_projector" in found.parameters
    assert found.notes == ["continuous action head (action_head--*_checkpoint.pt)"]
    assert dry_run(policy, "lift the red cube").image_matters


def test_a_head_that_was_left_out_is_noted(oft_copy):
    (oft_copy / "action_head--150000_checkpoint.pt").unlink()
    found, _ = inspect(oft_copy)
    assert "served with a discrete head; one trained with L1 needs its file" in found.notes[0]


def test_a_checkpoint_without_deployment_can_be_looked_into(openvla_copy):
    (openvla_copy / "deployment.yaml").unlink()
    found, policy = inspect(openvla_copy)
    assert found.contract_sha256 == "" and "no deployment.yaml" in found.notes[0]
    assert np.shape(dry_run(policy, "go", "up").actions) == (2, 1, 7)


def test_the_error_of_a_stand_in_names_what_is_missing(oft_copy):
    (oft_copy / "deployment.yaml").unlink()
    with pytest.raises(
        CheckpointError, match=r"reads 8 numbers of proprioception; no deployment.yaml: .*apo policy bind"
    ):
        inspect(oft_copy)


def test_facts_of_the_small_vla(tmp_path, tiny_model, tiny_tokenizer, tiny_statistics):
    save_checkpoint(tmp_path, tiny_model, tiny_tokenizer, tiny_statistics, {})
    found, policy = inspect(tmp_path)
    assert (found.family, found.architecture, found.chunk) == ("apo_small_vla", "SmallVla", 2)
    run = dry_run(policy, "lift the red cube", "stack the red cube")
    assert run.image_matters and run.prompt_matters and np.shape(run.actions) == (2, 2, 7)


def test_a_dry_run_shows_that_image_and_prompt_matter(openvla_folder):
    _, policy = inspect(openvla_folder)
    run = dry_run(policy, "lift the red cube")
    assert run.image_matters and run.prompt_matters and run.seconds > 0 and np.isfinite(run.actions).all()


def test_a_policy_that_ignores_its_image_or_prompt_is_found_out(openvla_folder):
    _, policy = inspect(openvla_folder)
    with torch.no_grad():
        policy.model.projector.fc3.weight.zero_()
    run = dry_run(policy, "lift the red cube")
    assert not run.image_matters and run.prompt_matters
    with torch.no_grad():
        policy.model.language_model.model.embed_tokens.weight.zero_()
    # two prompts of different length still stand at different places: take equal ones
    assert dry_run(policy, "lift the red cube", "drop the red cube").prompt_matters is False


def test_an_instruction_equal_to_the_other_is_no_trial_of_the_prompt(openvla_folder):
    _, policy = inspect(openvla_folder)
    assert dry_run(policy, "Open the top drawer").prompt_matters is None


def test_facts_are_plain_data(openvla_folder):
    found, _ = inspect(openvla_folder)
    assert set(dataclasses.asdict(found)) >= {"family", "parameters", "memory_bytes", "statistics", "chunk", "cameras"}


def test_no_checkpoint_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"config.json: cannot be read .*docs/how-to/checkpoints.md"):
        inspect(tmp_path)


def test_images_that_a_pi0_fast_is_not_given_are_noted(pi0_copy):
    file = pi0_copy / "deployment.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "cameras": ["agentview"]}))
    found, _ = inspect(pi0_copy)
    assert found.notes == [
        "cameras = ['agentview'] (deployment.yaml) stand for observation.images.image; "
        "the model was also trained with observation.images.image2"
    ]


def test_places_held_free_for_images_are_not_missed(pi0_copy):
    file = pi0_copy / "config.json"
    settings = json.loads(file.read_text())
    settings["input_features"]["observation.images.empty_camera_0"] = {"type": "VISUAL", "shape": [3, 256, 256]}
    file.write_text(json.dumps(settings))
    found, _ = inspect(pi0_copy)
    assert found.notes == []
