import json

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from apo_core.errors import CheckpointError
from apo_vla.decoding.llama_layer import AdaptiveNorm
from apo_vla.loading import load_checkpoint

HEAD = "paligemma_with_expert.paligemma.lm_head.weight"
EMBEDDING = "paligemma_with_expert.paligemma.model.language_model.embed_tokens.weight"


def test_pi0_takes_the_state_and_pi05_has_norms_of_the_time(flow_folder):
    pi0, pi05 = (load_checkpoint(flow_folder(kind)).model for kind in ("pi0", "pi05"))
    assert (pi0.config.prompt_length, pi05.config.prompt_length) == (48, 200)
    assert pi0.state_proj.weight.shape == (24, 32) and not hasattr(pi05, "state_proj")
    assert isinstance(pi05.action_expert.norm, AdaptiveNorm)
    assert isinstance(pi05.action_expert.layers[1].input_layernorm, AdaptiveNorm)
    assert not any(isinstance(module, AdaptiveNorm) for module in pi0.modules())


@pytest.mark.parametrize("kind", ["pi0", "pi05"])
def test_the_embedding_is_the_head_where_only_that_is_saved(flow_copy, kind):
    folder = flow_copy(kind)
    tensors = load_file(folder / "model.safetensors")
    assert EMBEDDING not in tensors
    found = load_checkpoint(folder).model.paligemma.language_model.embed_tokens.weight
    assert torch.equal(found, tensors[HEAD].float())
    tensors[EMBEDDING] = tensors[HEAD] * 2
    save_file(tensors, folder / "model.safetensors")
    found = load_checkpoint(folder).model.paligemma.language_model.embed_tokens.weight
    assert torch.equal(found, tensors[EMBEDDING].float())


@pytest.mark.parametrize("kind", ["pi0", "pi05"])
def test_names_with_lerobots_prefix_are_read(flow_copy, kind):
    folder = flow_copy(kind)
    tensors = load_file(folder / "model.safetensors")
    plain = dict(load_checkpoint(folder).model.named_parameters())
    save_file({f"model.{name}": value for name, value in tensors.items()}, folder / "model.safetensors")
    found = dict(load_checkpoint(folder).model.named_parameters())
    assert found.keys() == plain.keys() and all(torch.equal(found[name], plain[name]) for name in plain)


def test_in_bfloat16_what_takes_states_actions_and_times_stays_float32(flow_folder):
    model = load_checkpoint(flow_folder("pi05"), dtype=torch.bfloat16).model
    kept = {name for name, value in model.named_parameters() if value.dtype == torch.float32}
    assert {"action_in_proj.weight", "time_mlp_out.bias", "action_expert.norm.dense.weight"} <= kept
    assert not any("self_attn" in name or name.startswith("paligemma") for name in kept)


def test_a_pi05_under_the_name_of_pi0_is_rejected(flow_copy):
    folder = flow_copy("pi05")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"type": "pi0"}))
    with pytest.raises(CheckpointError, match=r"lacks state_proj.weight"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("deployment.yaml", {"cameras": ["agentview", "wrist", "side"]}, "are 3, the model takes 2"),
        ("deployment.yaml", {"state": []}, "state must list what makes the 8 numbers"),
        ("deployment.yaml", {"statistics_key": "a"}, "statistics_key = 'a' cannot be used with pi0.5"),
        ("config.json", {"use_relative_actions": True}, "use_relative_actions = True is not supported"),
        ("config.json", {"use_visual_memory": True}, "use_visual_memory = True is not supported"),
        ("config.json", {"use_proprioceptive_memory": True}, "use_proprioceptive_memory = True is not supported"),
        ("config.json", {"image_resolution": [448, 448]}, r"image_resolution = \[448, 448\], the tower takes"),
        ("config.json", {"num_inference_steps": "x"}, "num_inference_steps = 'x' must be a whole number"),
    ],
)
def test_files_that_do_not_fit_are_rejected(flow_copy, file, changes, message):
    path = flow_copy("pi05") / file
    read, write = (yaml.safe_load, yaml.safe_dump) if file.endswith("yaml") else (json.loads, json.dumps)
    path.write_text(write({**read(path.read_text()), **changes}))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path.parent)


def test_the_deployment_may_choose_the_number_of_steps(flow_copy):
    folder = flow_copy("pi0")
    path = folder / "deployment.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "flow_steps": 4}))
    assert load_checkpoint(folder).model.config.flow_steps == 4
