"""Folders of SmolVLA, pi0 and pi0.5 as LeRobot saves them, with random weights of small sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from published_checkpoints import (
    CONTRACT,
    GEMMA,
    NORM_STATS,
    OFT_STATISTICS,
    gemma_tokenizer,
    pi0_fast_shapes,
    random_tensors,
)
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

FLOW_DEPLOYMENT = {
    "contract_sha256": CONTRACT,
    "period_s": 0.05,
    "cameras": ["agentview", "wrist"],
    "state": ["ee_pose:position_axis_angle", "gripper_width:two_fingers"],
    "action_scale": [20.0] * 6 + [-2.0],
    "action_offset": [0.0] * 6 + [1.0],
}
STATE, ACTION, CHUNK, WIDTH = 8, 7, 4, 32
HEAD = 64  # of SmolLM2 and SigLIP, in every size
TEXT = {"hidden": 64, "mlp": 96, "layers": 4, "heads": 2, "key_value_heads": 1, "vocabulary": 320}
TOWER = {"width": 64, "mlp": 72, "layers": 2, "patches": 16, "patch": 8}
SHUFFLE = 2
EXPERT = {"hidden": 48, "mlp": 64}
GEMMA_EXPERT = {"hidden": 24, "mlp": 40}
_STATISTICS = ("mean", "std", "min", "max", "q01", "q99")


def smollm_tokenizer() -> Tokenizer:
    """SmolLM2's kind of tokenizer: byte-level, without a first token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number + 10 for number, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = ("<|endoftext|>", "<fake_token_around_image>", "<global-img>")
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in marks])
    return tokenizer


def smolvla_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of every tensor of smolvla_base, at small sizes."""
    root = "model.vlm_with_expert."
    vlm, expert = f"{root}vlm.model.", f"{root}lm_expert."
    d, e = TEXT["hidden"], EXPERT["hidden"]
    names = {f"{root}vlm.lm_head.weight": (TEXT["vocabulary"], d)}
    names |= {f"{vlm}text_model.embed_tokens.weight": (TEXT["vocabulary"], d)}
    names |= _decoder(f"{vlm}text_model.", d, TEXT["mlp"], range(0))
    names |= _decoder(expert, e, EXPERT["mlp"], range(1, TEXT["layers"], 2))
    names |= _tower(f"{vlm}vision_model.")
    joined = TOWER["width"] * SHUFFLE**2
    names |= {f"{vlm}connector.modality_projection.proj.weight": (d, joined)}
    linears = {"state_proj": (d, WIDTH), "action_in_proj": (e, WIDTH), "action_out_proj": (WIDTH, e)}
    linears |= {"action_time_mlp_in": (e, 2 * e), "action_time_mlp_out": (e, e)}
    return names | _linears("model.", linears)


def pi0_shapes(adaptive: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of pi0, or with `adaptive` of pi0.5, at small sizes; the embedding is saved as the head."""
    root = "paligemma_with_expert."
    d, mlp, head = GEMMA_EXPERT["hidden"], GEMMA_EXPERT["mlp"], GEMMA["head"]
    inner = GEMMA["heads"] * head
    names = pi0_fast_shapes(f"{root}paligemma.")
    names |= {f"{root}gemma_expert.lm_head.weight": (64, d)}
    norms = [f"{root}gemma_expert.model.norm"]
    for index in range(GEMMA["layers"]):
        layer = f"{root}gemma_expert.model.layers.{index}."
        attention = {"q": (inner, d), "k": (head, d), "v": (head, d), "o": (d, inner)}
        names |= {f"{layer}self_attn.{name}_proj.weight": size for name, size in attention.items()}
        names |= {f"{layer}mlp.gate_proj.weight": (mlp, d), f"{layer}mlp.up_proj.weight": (mlp, d)}
        names |= {f"{layer}mlp.down_proj.weight": (d, mlp)}
        norms += [f"{layer}input_layernorm", f"{layer}post_attention_layernorm"]
    for norm in norms:
        names |= _linears("", {f"{norm}.dense": (3 * d, d)}) if adaptive else {f"{norm}.weight": (d,)}
    linears = {"action_in_proj": (d, WIDTH), "action_out_proj": (WIDTH, d)}
    if adaptive:
        linears |= {"time_mlp_in": (d, d), "time_mlp_out": (d, d)}
    else:
        linears |= {"state_proj": (d, WIDTH), "action_time_mlp_in": (d, 2 * d), "action_time_mlp_out": (d, d)}
    return names | _linears("", linears)


def make_smolvla(
    folder: Path,
    statistics: bool = True,
    settings: dict[str, Any] | None = None,
    state_size: int = STATE,
    **deployment,
) -> Path:
    """A folder as lerobot/smolvla_libero, with a deployment.yaml beside it; without statistics as a base model."""
    side = int(TOWER["patches"] ** 0.5) * TOWER["patch"]
    config = {
        "type": "smolvla",
        "resize_imgs_with_padding": [side, side],
        "add_image_special_tokens": False,
        "attention_mode": "cross_attn",
        "num_vlm_layers": TEXT["layers"],
        "num_expert_layers": -1,
        "self_attn_every_n_layers": 2,
        "num_steps": 10,
        "tokenizer_max_length": 48,
        "adapt_to_pi_aloha": False,
    }
    modes = {"VISUAL": "IDENTITY", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"}
    shapes, numbers = smolvla_shapes(), data_set_statistics(state_size) if statistics else {}
    return _write(folder, shapes, config | (settings or {}), modes, smollm_tokenizer(), numbers, deployment)


def make_pi0(
    folder: Path,
    statistics: bool = True,
    settings: dict[str, Any] | None = None,
    state_size: int = STATE,
    **deployment,
) -> Path:
    """A folder as lerobot/pi0_libero."""
    config = {"type": "pi0", "num_inference_steps": 10, "tokenizer_max_length": 48, "image_resolution": [28, 28]}
    modes = {"VISUAL": "IDENTITY", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"}
    shapes, numbers = pi0_shapes(adaptive=False), data_set_statistics(state_size) if statistics else {}
    return _write(folder, shapes, config | (settings or {}), modes, gemma_tokenizer(), numbers, deployment)


def make_pi05(
    folder: Path,
    statistics: bool = True,
    settings: dict[str, Any] | None = None,
    state_size: int = STATE,
    **deployment,
) -> Path:
    """A folder as lerobot/pi05_libero; without statistics as lerobot/pi05_base."""
    config = {"type": "pi05", "num_inference_steps": 10, "tokenizer_max_length": 200, "image_resolution": [28, 28]}
    modes = {"VISUAL": "IDENTITY", "STATE": "QUANTILES", "ACTION": "QUANTILES"}
    shapes, numbers = pi0_shapes(adaptive=True), data_set_statistics(state_size) if statistics else {}
    return _write(folder, shapes, config | (settings or {}), modes, gemma_tokenizer(), numbers, deployment)


def data_set_statistics(state_size: int = STATE) -> dict[str, dict[str, list[float]]]:
    """Content of a LeRobot data set's meta/stats.json."""
    action, proprio = NORM_STATS["bridge_orig"]["action"], OFT_STATISTICS["libero_spatial_no_noops"]["proprio"]
    state = {name: proprio[name][:state_size] for name in _STATISTICS}
    return {"action": {name: action[name] for name in _STATISTICS}, "observation.state": state}


def _write(
    folder: Path,
    shapes: dict[str, tuple[int, ...]],
    config: dict[str, Any],
    modes: dict[str, str],
    tokenizer: Tokenizer,
    statistics: dict[str, dict[str, list[float]]],
    deployment: dict[str, Any],
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = random_tensors(shapes, 3)
    for name, value in tensors.items():
        if name.endswith("lm_head.weight"):
            tensors[name] = value * 0.3
        elif name.endswith(".dense.weight"):
            tensors[name] = torch.randn(value.shape, generator=torch.Generator().manual_seed(len(name))) * 0.2
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    images = {f"observation.images.{name}": {"type": "VISUAL", "shape": [3, 256, 256]} for name in ("image", "image2")}
    features = {**images, "observation.state": {"type": "STATE", "shape": [STATE]}}
    features["observation.images.empty_camera_0"] = {"type": "VISUAL", "shape": [3, 480, 640]}
    config |= {"input_features": features, "output_features": {"action": {"type": "ACTION", "shape": [ACTION]}}}
    config |= {"chunk_size": CHUNK, "n_action_steps": CHUNK, "normalization_mapping": modes}
    (folder / "config.json").write_text(json.dumps(config))
    step = {"registry_name": "normalizer_processor", "config": {"eps": 1e-8, "norm_map": modes}}
    if statistics:
        step["state_file"] = "policy_preprocessor_step_5_normalizer_processor.safetensors"
        numbers = {
            f"{key}.{name}": torch.tensor(values) for key, part in statistics.items() for name, values in part.items()
        }
        save_file(numbers, folder / step["state_file"])
    steps = [{"registry_name": "to_batch_processor", "config": {}}, step]
    (folder / "policy_preprocessor.json").write_text(json.dumps({"name": "policy_preprocessor", "steps": steps}))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "deployment.yaml").write_text(yaml.safe_dump({**FLOW_DEPLOYMENT, **deployment}))
    return folder


def _linears(prefix: str, sizes: dict[str, tuple[int, int]]) -> dict[str, tuple[int, ...]]:
    names = {f"{prefix}{name}.weight": size for name, size in sizes.items()}
    return names | {f"{prefix}{name}.bias": size[:1] for name, size in sizes.items()}


def _decoder(prefix: str, d: int, mlp: int, crossing: range) -> dict[str, tuple[int, ...]]:
    """A Llama whose `crossing` layers project another model's keys and values."""
    inner, outer = TEXT["heads"] * HEAD, TEXT["key_value_heads"] * HEAD
    names = {f"{prefix}norm.weight": (d,)}
    for index in range(TEXT["layers"]):
        layer, seen = f"{prefix}layers.{index}.", outer if index in crossing else d
        attention = {"q": (inner, d), "k": (outer, seen), "v": (outer, seen), "o": (d, inner)}
        names |= {f"{layer}self_attn.{name}_proj.weight": size for name, size in attention.items()}
        names |= {f"{layer}mlp.gate_proj.weight": (mlp, d), f"{layer}mlp.up_proj.weight": (mlp, d)}
        names |= {f"{layer}mlp.down_proj.weight": (d, mlp), f"{layer}input_layernorm.weight": (d,)}
        names[f"{layer}post_attention_layernorm.weight"] = (d,)
    return names


def _tower(prefix: str) -> dict[str, tuple[int, ...]]:
    w, mlp, patch = TOWER["width"], TOWER["mlp"], TOWER["patch"]
    names = {f"{prefix}embeddings.patch_embedding.weight": (w, 3, patch, patch)}
    names |= {f"{prefix}embeddings.patch_embedding.bias": (w,)}
    names |= {f"{prefix}embeddings.position_embedding.weight": (TOWER["patches"], w)}
    names |= {f"{prefix}post_layernorm.{part}": (w,) for part in ("weight", "bias")}
    for index in range(TOWER["layers"]):
        layer = f"{prefix}encoder.layers.{index}."
        linears = {f"self_attn.{name}": (w, w) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
        names |= _linears(layer, linears | {"mlp.fc1": (mlp, w), "mlp.fc2": (w, mlp)})
        names |= {f"{layer}layer_norm{n}.{part}": (w,) for n in (1, 2) for part in ("weight", "bias")}
    return names
