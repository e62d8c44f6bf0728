import json

import numpy as np
import published_checkpoints as published
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from apo_core.errors import CheckpointError
from apo_core.types import Observation
from apo_vla.loading import load_checkpoint
from apo_vla.lora.merged import MergedAdapter
from apo_vla.policy import VlaPolicy


def change(path, **changes):
    read, write = (yaml.safe_load, yaml.safe_dump) if path.suffix == ".yaml" else (json.loads, json.dumps)
    path.write_text(write({**read(path.read_text()), **changes}))


def shard_of(folder, name):
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    return folder / index["weight_map"][name]


def replace(folder, name, new_name=None, value=None):
    """Renames, changes or (with neither) removes a tensor, in its shard and in the index."""
    path = shard_of(folder, name)
    tensors = load_file(path)
    old = tensors.pop(name)
    if new_name or value is not None:
        tensors[new_name or name] = old if value is None else value
    save_file(tensors, path)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shard = index["weight_map"].pop(name)
    if new_name or value is not None:
        index["weight_map"][new_name or name] = shard
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_weights_are_those_of_the_shards(openvla_folder):
    checkpoint = load_checkpoint(openvla_folder)
    name = "vision_backbone.fused_featurizer.blocks.1.attn.qkv.weight"
    wanted = load_file(shard_of(openvla_folder, name))[name]
    assert torch.equal(checkpoint.model.get_parameter(name), wanted.float())
    assert len(checkpoint.base_sha256) == 64 and checkpoint.statistics.contract_sha256 == published.CONTRACT


def test_nothing_stays_on_the_meta_device(openvla_folder):
    model = load_checkpoint(openvla_folder).model
    assert {t.device.type for t in (*model.parameters(), *model.buffers())} == {"cpu"}


def test_a_missing_tensor_is_named(openvla_copy):
    replace(openvla_copy, "language_model.model.layers.1.mlp.up_proj.weight")
    with pytest.raises(CheckpointError, match=r"'language_model.model.layers.1.mlp.up_proj.weight' is missing"):
        load_checkpoint(openvla_copy)


def test_an_unexpected_tensor_is_named(openvla_copy):
    replace(openvla_copy, "projector.fc2.bias", "projector.fc9.bias")
    with pytest.raises(CheckpointError, match=r"'projector.fc2.bias' is missing; 'projector.fc9.bias' is unexpected"):
        load_checkpoint(openvla_copy)


def test_a_tensor_that_is_no_float_is_named(openvla_copy):
    replace(openvla_copy, "projector.fc3.bias", value=torch.zeros(64, dtype=torch.int8))
    with pytest.raises(CheckpointError, match=r"'projector.fc3.bias' is I8"):
        load_checkpoint(openvla_copy)


def test_a_tensor_of_another_shape_is_named(openvla_copy):
    replace(openvla_copy, "projector.fc3.bias", value=torch.zeros(63))
    with pytest.raises(CheckpointError, match=r"'projector.fc3.bias' has shape \(63,\), the model \(64,\)"):
        load_checkpoint(openvla_copy)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("deployment.yaml", {"statistics_key": "libero"}, "must be one of: bridge_orig, taco_play"),
        ("deployment.yaml", {"cameras": ["agentview", "wrist"]}, "looks through one camera"),
        ("deployment.yaml", {"cameras": []}, "looks through one camera"),
        ("deployment.yaml", {"state": ["ee_pose"]}, "reads 0 numbers of proprioception"),
        ("deployment.yaml", {"adapter": "nowhere"}, "adapter = 'nowhere': .*nowhere: cannot be read"),
        (
            "config.json",
            {"model_type": "pi9"},
            "unknown family 'pi9'; known: apo_small_vla, apo_small_flow, openvla, pi0_fast",
        ),
        ("config.json", {"timm_model_ids": ["vit_base"] * 2}, "vision tower 'vit_base' is not supported"),
        ("config.json", {"text_config": {"model_type": "phi"}}, "text_config.model_type = 'phi'"),
        ("config.json", {"text_config": None}, "config.json: lacks"),
        (
            "config.json",
            {"text_config": {"num_attention_heads": 7, "hidden_size": 64}},
            "config.json: .*not a multiple",
        ),
        ("config.json", {"timm_model_ids": None}, "config.json: lacks timm_model_ids"),
        ("preprocessor_config.json", {"interpolations": ["bilinear"] * 2}, "interpolations = .*only 'bicubic'"),
        ("config.json", {"n_action_bins": "many"}, "config.json: invalid literal .*'many'"),
        ("deployment.yaml", {"conventions": "openpi"}, "conventions = 'openpi' cannot be used with OpenVLA"),
        ("preprocessor_config.json", {"input_sizes": [[3, 384, 384]] * 2}, "input_sizes"),
    ],
)
def test_files_that_do_not_fit_are_rejected(openvla_copy, file, changes, message):
    change(openvla_copy / file, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(openvla_copy)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "preprocessor_config.json", "deployment.yaml"])
def test_a_missing_file_is_named(openvla_copy, file):
    (openvla_copy / file).unlink()
    with pytest.raises(CheckpointError, match=file):
        load_checkpoint(openvla_copy)


def official_adapter(folder, shapes, rank=2):
    """As the adapters of OpenVLA's own fine-tuning: every linear layer and both patch convolutions of the model."""
    generator = torch.Generator().manual_seed(5)
    tensors = {}
    for name, shape in shapes.items():
        module = name.removesuffix(".weight")
        if len(shape) in (2, 4) and name.endswith(".weight") and "embed_tokens" not in name:
            key = f"base_model.model.{module}"
            tensors[f"{key}.lora_A.weight"] = torch.randn(rank, *shape[1:], generator=generator)
            size = (shape[0], rank, 1, 1) if len(shape) == 4 else (shape[0], rank)
            tensors[f"{key}.lora_B.weight"] = 0.2 * torch.randn(size, generator=generator)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 1, "bias": "none", "target_modules": "all-linear"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return tensors


def test_an_official_adapter_is_merged_into_every_part(openvla_copy):
    before = load_checkpoint(openvla_copy)
    tensors = official_adapter(openvla_copy / "adapter", published.openvla_shapes())
    assert "base_model.model.vision_backbone.fused_featurizer.attn_pool.q.lora_A.weight" in tensors
    change(openvla_copy / "deployment.yaml", adapter="adapter")
    after = load_checkpoint(openvla_copy)
    assert after.base_sha256 != before.base_sha256
    name = "language_model.lm_head"
    a, b = (tensors[f"base_model.model.{name}.lora_{part}.weight"] for part in "AB")
    wanted = before.model.get_parameter(f"{name}.weight") + 0.5 * b @ a
    torch.testing.assert_close(after.model.get_parameter(f"{name}.weight").data, wanted.data)
    name = "vision_backbone.featurizer.patch_embed.proj.weight"
    assert not torch.equal(after.model.get_parameter(name), before.model.get_parameter(name))


def test_pictures_are_turned_as_the_deployment_has_it_and_bind_adapters(openvla_copy):
    plain = VlaPolicy.load(openvla_copy, lora=None)
    (camera,) = plain.config.cameras
    picture = np.random.default_rng(0).integers(0, 255, (84, 84, 3), np.uint8)
    seen = plain.processor.images({camera: picture[:, ::-1]}, None)
    change(openvla_copy / "deployment.yaml", orientation=["mirror"])
    turned = VlaPolicy.load(openvla_copy, lora=None)
    np.testing.assert_array_equal(turned.processor.images({camera: picture}, None), seen)
    assert turned.base_sha256 == plain.base_sha256 and turned.statistics_sha256 != plain.statistics_sha256


def test_a_checkpoint_that_holds_its_adapter_already_is_an_error(openvla_copy):
    shapes = published.openvla_shapes()
    official_adapter(openvla_copy / "lora_adapter", shapes)
    adapter = MergedAdapter(openvla_copy / "lora_adapter", shapes)
    for path in openvla_copy.glob("*.safetensors"):
        save_file({name: adapter.merge(name, value) for name, value in load_file(path).items()}, path)
    change(openvla_copy / "deployment.yaml", adapter="lora_adapter")
    with pytest.raises(CheckpointError, match=r"adapter = 'lora_adapter': .*hold this adapter already"):
        load_checkpoint(openvla_copy)


def test_the_number_of_parameters_of_an_official_adapter():
    """110,828,288 of rank 32 on openvla-7b: all linear layers and patch convolutions, unused ones included."""
    sizes = {
        "DINO": {"width": 1024, "mlp": 4096, "blocks": 24, "patches": 256, "registers": 4},
        "SIGLIP": {"width": 1152, "mlp": 4304, "blocks": 27, "patches": 256, "registers": 0},
        "LLAMA": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32},
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in sizes.items():
            patch.setattr(published, name, value)
        shapes = published.openvla_shapes()
    linear = [s for n, s in shapes.items() if len(s) in (2, 4) and n.endswith("weight") and "embed_tokens" not in n]
    assert sum(32 * (s[0] + int(np.prod(s[1:]))) for s in linear) == 110_828_288


def test_a_fine_tune_with_its_own_statistics_and_crop(openvla_copy):
    own = {"lift_no_noops": published.NORM_STATS["bridge_orig"]}
    (openvla_copy / "dataset_statistics.json").write_text(json.dumps(own))
    change(openvla_copy / "deployment.yaml", statistics_key="", centre_crop=True)
    policy = VlaPolicy.load(openvla_copy, lora=None)
    image = np.random.default_rng(0).integers(0, 256, (84, 84, 3), dtype=np.uint8)
    chunk = policy.predict(Observation(1, {"agentview": image}, {}, "lift the red cube"))
    assert policy.statistics.key == "lift_no_noops" and chunk.values.shape == (1, 7)
