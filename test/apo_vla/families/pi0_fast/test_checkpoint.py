import json

import published_checkpoints as published
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from apo_core.errors import CheckpointError, ConfigError
from apo_vla.families.pi0_fast.deployment import Pi0FastDeployment
from apo_vla.lerobot.config_file import camera_notes
from apo_vla.loading import load_checkpoint


@pytest.mark.parametrize("prefix", ["paligemma_with_expert.paligemma.", "model.paligemma_with_expert.paligemma."])
def test_both_spellings_of_the_names_are_read(tmp_path, prefix):
    model = load_checkpoint(published.make_pi0_fast(tmp_path / "pi0", prefix)).model
    rows = load_file(tmp_path / "pi0" / "model.safetensors")[f"{prefix}lm_head.weight"]
    assert torch.equal(model.paligemma.language_model.embed_tokens.weight, rows.float())


@pytest.mark.parametrize("changed", [False, True])
def test_a_head_trained_apart_from_the_embedding_is_kept(pi0_copy, changed):
    path, prefix = pi0_copy / "model.safetensors", "model.paligemma_with_expert.paligemma."
    tensors = load_file(path)
    head = tensors[f"{prefix}lm_head.weight"]
    tensors[f"{prefix}model.language_model.embed_tokens.weight"] = head.clone()
    if changed:
        head = head + 0.5 * torch.randn(head.shape, generator=torch.Generator().manual_seed(0)).to(head.dtype)
    save_file({**tensors, f"{prefix}lm_head.weight": head}, path)
    model = load_checkpoint(pi0_copy).model
    assert (model.lm_head is not None) == changed
    assert torch.equal(model.head_rows(), model.token_rows()) != changed
    if changed:
        assert torch.equal(model.lm_head.weight, head.float())


def test_tokenizers_are_found_where_lerobot_and_transformers_5_save_them(pi0_copy):
    for name, folder in (("tokenizer.json", "tokenizer"), ("action_tokenizer/tokenizer.json", "bpe_tokenizer")):
        path = pi0_copy / name
        (path.parent / folder).mkdir()
        path.rename(path.parent / folder / "tokenizer.json")
    checkpoint = load_checkpoint(pi0_copy)
    assert checkpoint.tokenizer.encode("|", add_special_tokens=False).ids
    assert checkpoint.model.config.fast.vocabulary > 1


def test_openpi_s_black_image_is_no_camera():
    three = {"input_features": {name: {"type": "VISUAL"} for name in ("base", "second", "wrist")}}
    assert camera_notes(["a", "b"], three, [1])[0].endswith("for base, wrist; the model was also trained with second")
    with pytest.raises(ConfigError, match="are 4, openpi takes 3"):
        Pi0FastDeployment(cameras=("a", "b", "c", "d"), conventions="openpi")


def test_a_missing_and_an_unexpected_tensor_are_named(pi0_copy):
    tensors = load_file(pi0_copy / "model.safetensors")
    prefix = "model.paligemma_with_expert.paligemma.model.language_model."
    tensors[f"{prefix}extra.weight"] = tensors.pop(f"{prefix}norm.weight")
    save_file(tensors, pi0_copy / "model.safetensors")
    wanted = r"'paligemma.language_model.norm.weight' is missing; '.*language_model.extra.weight' is unexpected"
    with pytest.raises(CheckpointError, match=wanted):
        load_checkpoint(pi0_copy)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("deployment.yaml", {"cameras": []}, "cameras is empty"),
        (
            "deployment.yaml",
            {"cameras": ["agentview", "wrist", "side"]},
            r"are 3, the model takes 2 \(config.json, input_features: observation.images.image, .*image2\)",
        ),
        ("deployment.yaml", {"state": []}, "state must list what makes the 8 numbers"),
        ("deployment.yaml", {"chunk": 10}, "chunk = 10, config.json has chunk_size = 2"),
        ("deployment.yaml", {"action_tokenizer": "fast"}, "fast: no FAST tokenizer"),
        ("deployment.yaml", {"text_tokenizer": "t.json"}, "t.json: cannot be read"),
        ("deployment.yaml", {"adapter": "a"}, "adapter = 'a' cannot be used with pi0-FAST"),
        ("config.json", {"chunk_size": "x"}, "config.json: chunk_size = 'x' must be a whole number of at least 1"),
        ("config.json", {"use_relative_actions": True}, "use_relative_actions = True is not supported, must be False"),
        ("policy_preprocessor.json", {"steps": []}, "has no step 'normalizer_processor'"),
    ],
)
def test_files_that_do_not_fit_are_rejected(pi0_copy, file, changes, message):
    path = pi0_copy / file
    read, write = (yaml.safe_load, yaml.safe_dump) if file.endswith("yaml") else (json.loads, json.dumps)
    path.write_text(write({**read(path.read_text()), **changes}))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(pi0_copy)
