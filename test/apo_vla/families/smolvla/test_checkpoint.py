import json

import published_flows
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from apo_core.errors import CheckpointError
from apo_vla.families.smolvla.model import SmolVla
from apo_vla.loading import load_checkpoint

TEXT = "model.vlm_with_expert.vlm.model.text_model."


def test_sizes_are_read_from_the_tensors(flow_folder):
    model = load_checkpoint(flow_folder("smolvla")).model
    assert isinstance(model, SmolVla)
    assert model.config.image_size == 32 and model.config.prompt_length == 48 and model.config.flow_steps == 10
    assert (model.config.chunk, model.config.state_width, model.config.action_width) == (4, 32, 32)
    attention = model.action_expert.layers[1].self_attn
    assert attention.k_proj.weight.shape == (64, 64) and attention.q_proj.weight.shape == (128, 48)
    assert model.action_expert.layers[0].self_attn.k_proj.weight.shape == (64, 48)
    assert model.language_model.layers[0].input_layernorm.variance_epsilon == 1e-5


def test_a_head_without_an_embedding_is_the_embedding(flow_copy):
    folder = flow_copy("smolvla")
    tensors = load_file(folder / "model.safetensors")
    own = tensors.pop(f"{TEXT}embed_tokens.weight")
    save_file(tensors, folder / "model.safetensors")
    rows = load_checkpoint(folder).model.language_model.embed_tokens.weight
    head = tensors["model.vlm_with_expert.vlm.lm_head.weight"].float()
    assert torch.equal(rows, head) and not torch.equal(rows, own.float())


def test_a_missing_and_an_unexpected_tensor_are_named(flow_copy):
    folder = flow_copy("smolvla")
    tensors = load_file(folder / "model.safetensors")
    tensors[f"{TEXT}extra.weight"] = tensors.pop(f"{TEXT}layers.2.mlp.up_proj.weight")
    save_file(tensors, folder / "model.safetensors")
    wanted = r"'language_model.layers.2.mlp.up_proj.weight' is missing; '.*text_model.extra.weight' is unexpected"
    with pytest.raises(CheckpointError, match=wanted):
        load_checkpoint(folder)


def test_weights_of_another_family_are_named(flow_copy):
    folder = flow_copy("pi0")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"type": "smolvla"}))
    with pytest.raises(CheckpointError, match=r"is no SmolVLA in LeRobot's layout, lacks 'model.vlm_with_expert"):
        load_checkpoint(folder)


def test_in_bfloat16_what_takes_states_actions_and_times_stays_float32(flow_folder):
    model = load_checkpoint(flow_folder("smolvla"), dtype=torch.bfloat16).model
    kept = {name for name, value in model.named_parameters() if value.dtype == torch.float32}
    parts = ("state_proj", "action_in_proj", "action_out_proj", "action_time_mlp_in", "action_time_mlp_out")
    assert kept == {f"{part}.{kind}" for part in parts for kind in ("weight", "bias")}


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("deployment.yaml", {"cameras": []}, "cameras is empty"),
        ("deployment.yaml", {"cameras": ["agentview", "wrist", "side"]}, "are 3, the model takes 2"),
        ("deployment.yaml", {"chunk": 10}, "chunk = 10, config.json has chunk_size = 4"),
        ("deployment.yaml", {"conventions": "openpi"}, "conventions = 'openpi' cannot be used with SmolVLA"),
        ("deployment.yaml", {"statistics": "none.json"}, "none.json: cannot be read"),
        ("config.json", {"chunk_size": 0}, "config.json: chunk_size = 0 must be a whole number of at least 1"),
        ("config.json", {"num_steps": 0}, "num_steps = 0 must be a whole number"),
        ("config.json", {"self_attn_every_n_layers": 0}, "self_attn_every_n_layers = 0 must be at least 1"),
        ("config.json", {"adapt_to_pi_aloha": True}, "adapt_to_pi_aloha = True is not supported"),
        ("config.json", {"num_expert_layers": 2}, "num_expert_layers = 2 is not supported"),
        ("config.json", {"resize_imgs_with_padding": [224, 224]}, r"the vision tower takes \[32, 32\]"),
        ("config.json", {"empty_cameras": -1}, "empty_cameras = -1 must be a whole number of at least 0"),
        ("config.json", {"min_period": 5.0}, r"min_period, max_period = \[5.0, 4.0\] must be above 0"),
    ],
)
def test_files_that_do_not_fit_are_rejected(flow_copy, file, changes, message):
    path = flow_copy("smolvla") / file
    read, write = (yaml.safe_load, yaml.safe_dump) if file.endswith("yaml") else (json.loads, json.dumps)
    path.write_text(write({**read(path.read_text()), **changes}))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path.parent)


def test_tokens_around_images_are_seen_even_without_an_image(tmp_path):
    folders = [
        published_flows.make_smolvla(tmp_path / str(number), settings=settings)
        for number, settings in enumerate(
            ({}, {"add_image_special_tokens": True}, {"add_image_special_tokens": True, "empty_cameras": 1})
        )
    ]
    images, state = torch.zeros(2, 2, 3, 32, 32), torch.zeros(2, 8)
    # 4 tokens an image, 3 around each, 1 of the state
    assert [load_checkpoint(folder).model.features(images, state).shape[1] for folder in folders] == [9, 15, 18]


def test_a_tokenizer_without_the_tokens_around_images_is_rejected(tmp_path):
    folder = published_flows.make_smolvla(tmp_path / "s", settings={"add_image_special_tokens": True})
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace("<global-img>", "<other>"))
    with pytest.raises(CheckpointError, match=r"tokenizer.json lacks .*<global-img>"):
        load_checkpoint(folder)
