import published_checkpoints as published
import pytest
import torch
from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel, SiglipVisionConfig, SiglipVisionModel

from apo_core.errors import CheckpointError
from apo_vla.families.openvla.vit import VisionTower, is_unused, vit_shape

DINO_ID, SIGLIP_ID = "vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"


def tensors(shape: dict, layer_scale: bool) -> dict[str, torch.Tensor]:
    return {k: v.float() for k, v in published.random_tensors(published.tower("", shape, layer_scale)).items()}


def tower(timm_id: str, weights: dict[str, torch.Tensor]) -> VisionTower:
    shape = vit_shape(timm_id, {name: tuple(value.shape) for name, value in weights.items()}, "here")
    model = VisionTower(shape)
    model.load_state_dict({name: value for name, value in weights.items() if not is_unused(name, shape)}, strict=True)
    return model.eval()


def thirds(weights: dict[str, torch.Tensor], name: str, part: str):
    return zip(("q", "k", "v"), weights[f"{name}.{part}"].chunk(3), strict=True)


def images() -> torch.Tensor:
    return torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(1))


def test_dinov2_with_registers_is_that_of_transformers():
    weights = tensors(published.DINO, True)
    config = Dinov2WithRegistersConfig(
        hidden_size=64, num_hidden_layers=3, num_attention_heads=16, image_size=28, patch_size=14, num_register_tokens=4
    )
    reference = Dinov2WithRegistersModel(config).eval()
    state = reference.state_dict()
    state["embeddings.cls_token"] = weights["cls_token"]
    state["embeddings.register_tokens"] = weights["reg_token"]
    # transformers adds a position to the class token, timm's variant does not
    state["embeddings.position_embeddings"] = torch.cat([torch.zeros(1, 1, 64), weights["pos_embed"]], dim=1)
    for part in ("weight", "bias"):
        state[f"embeddings.patch_embeddings.projection.{part}"] = weights[f"patch_embed.proj.{part}"]
    names = {"norm1": "norm1", "norm2": "norm2", "attention.o_proj": "attn.proj", "mlp.fc1": "mlp.fc1"}
    names |= {"mlp.fc2": "mlp.fc2"}
    for index in range(3):
        theirs, ours = f"encoder.layer.{index}.", f"blocks.{index}."
        for part in ("weight", "bias"):
            for their_name, our_name in names.items():
                state[f"{theirs}{their_name}.{part}"] = weights[f"{ours}{our_name}.{part}"]
            for letter, value in thirds(weights, f"{ours}attn.qkv", part):
                state[f"{theirs}attention.{letter}_proj.{part}"] = value
        for number in (1, 2):
            state[f"{theirs}layer_scale{number}.lambda1"] = weights[f"{ours}ls{number}.scale_factor"]
    reference.load_state_dict(state, strict=True)
    with torch.no_grad():
        wanted = reference(images(), output_hidden_states=True).hidden_states[-2][:, 5:]
        torch.testing.assert_close(tower(DINO_ID, weights)(images()), wanted, rtol=0, atol=2e-5)


def test_siglip_is_that_of_transformers():
    weights = tensors(published.SIGLIP, False)
    # timm's tower uses the exact GELU
    config = SiglipVisionConfig(
        hidden_size=48,
        intermediate_size=72,
        num_hidden_layers=4,
        num_attention_heads=16,
        image_size=28,
        patch_size=14,
        hidden_act="gelu",
        vision_use_head=False,
    )
    reference = SiglipVisionModel(config).eval()
    prefix = "vision_model." if any(n.startswith("vision_model.") for n in reference.state_dict()) else ""
    state = {f"{prefix}embeddings.position_embedding.weight": weights["pos_embed"][0]}
    for part in ("weight", "bias"):
        state[f"{prefix}embeddings.patch_embedding.{part}"] = weights[f"patch_embed.proj.{part}"]
        state[f"{prefix}post_layernorm.{part}"] = weights[f"norm.{part}"]
        for index in range(4):
            theirs, ours = f"{prefix}encoder.layers.{index}.", f"blocks.{index}."
            state |= {f"{theirs}layer_norm{n}.{part}": weights[f"{ours}norm{n}.{part}"] for n in (1, 2)}
            state |= {f"{theirs}mlp.fc{n}.{part}": weights[f"{ours}mlp.fc{n}.{part}"] for n in (1, 2)}
            state[f"{theirs}self_attn.out_proj.{part}"] = weights[f"{ours}attn.proj.{part}"]
            for letter, value in thirds(weights, f"{ours}attn.qkv", part):
                state[f"{theirs}self_attn.{letter}_proj.{part}"] = value
    reference.load_state_dict(state, strict=True)
    with torch.no_grad():
        wanted = reference(images(), output_hidden_states=True).hidden_states[-2]
        torch.testing.assert_close(tower(SIGLIP_ID, weights)(images()), wanted, rtol=0, atol=2e-5)


def test_sizes_are_read_from_the_tensors():
    weights = tensors(published.DINO, True)
    shape = tower(DINO_ID, weights).shape
    assert (shape.width, shape.blocks, shape.heads, shape.mlp) == (64, 3, 16, 256)
    assert (shape.registers, shape.patches, shape.image_size, shape.layer_scale) == (4, 4, 28, True)


def test_the_last_block_and_what_is_behind_it_are_not_used():
    weights = tensors(published.SIGLIP, False)
    changed = {n: v + 1 if n.startswith(("blocks.3.", "norm.", "attn_pool.")) else v for n, v in weights.items()}
    with torch.no_grad():
        assert torch.equal(tower(SIGLIP_ID, weights)(images()), tower(SIGLIP_ID, changed)(images()))


def test_another_tower_is_rejected():
    with pytest.raises(
        CheckpointError, match=r"'vit_large_patch14_clip_336.openai' is not supported; known: vit_large"
    ):
        vit_shape("vit_large_patch14_clip_336.openai", {}, "here")


def test_a_tower_without_its_tensors_is_rejected():
    with pytest.raises(CheckpointError, match=r"here: vision tower .* lacks 'patch_embed.proj.weight'"):
        vit_shape(DINO_ID, {}, "here")
