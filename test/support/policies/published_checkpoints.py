"""Checkpoint folders as they are published, with random weights of small sizes: same files, names and configuration."""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from tokenizers import (
    AddedToken,
    ByteLevelBPETokenizer,
    Tokenizer,
    decoders,
    models,
    normalizers,
    processors,
    trainers,
)

CONTRACT = "c0ffee"
VOCABULARY, EMPTY = 32064, 29871
LLAMA = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
DINO = {"width": 64, "mlp": 256, "blocks": 3, "patches": 4, "registers": 4}
SIGLIP = {"width": 48, "mlp": 72, "blocks": 4, "patches": 4, "registers": 0}
IMAGE_SIZE, PATCH = 28, 14
NORM_STATS = {
    "bridge_orig": {
        "action": {
            "mean": [0.0] * 7,
            "std": [0.01] * 7,
            "min": [-0.4, -0.6, -0.8, -1.3, -1.6, -3.5, 0.0],
            "max": [0.5, 0.6, 0.9, 1.2, 1.3, 3.5, 1.0],
            "q01": [-0.02, -0.04, -0.03, -0.1, -0.1, -0.2, 0.0],
            "q99": [0.03, 0.04, 0.04, 0.08, 0.1, 0.25, 1.0],
            "mask": [True] * 6 + [False],
        },
        "proprio": {name: [0.0] * 7 for name in ("mean", "std", "min", "max", "q01", "q99")},
        "num_transitions": 2135463,
        "num_trajectories": 60064,
    }
}
NORM_STATS["taco_play"] = NORM_STATS["bridge_orig"]


def tower(prefix: str, shape: dict, layer_scale: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of timm's ViT, the parts that OpenVLA never uses included."""
    w, mlp = shape["width"], shape["mlp"]
    names = {"patch_embed.proj.weight": (w, 3, PATCH, PATCH), "patch_embed.proj.bias": (w,)}
    names |= {"pos_embed": (1, shape["patches"], w), "norm.weight": (w,), "norm.bias": (w,)}
    if shape["registers"]:
        names |= {"cls_token": (1, 1, w), "reg_token": (1, shape["registers"], w)}
    else:
        names |= {"attn_pool.latent": (1, 1, w), "attn_pool.q.weight": (w, w), "attn_pool.q.bias": (w,)}
        names |= {"attn_pool.kv.weight": (2 * w, w), "attn_pool.kv.bias": (2 * w,)}
        names |= {"attn_pool.proj.weight": (w, w), "attn_pool.proj.bias": (w,)}
        names |= {"attn_pool.norm.weight": (w,), "attn_pool.norm.bias": (w,)}
        names |= {"attn_pool.mlp.fc1.weight": (mlp, w), "attn_pool.mlp.fc1.bias": (mlp,)}
        names |= {"attn_pool.mlp.fc2.weight": (w, mlp), "attn_pool.mlp.fc2.bias": (w,)}
    for index in range(shape["blocks"]):
        block = f"blocks.{index}."
        linears = {"attn.qkv": (3 * w, w), "attn.proj": (w, w), "mlp.fc1": (mlp, w), "mlp.fc2": (w, mlp)}
        for name, size in linears.items():
            names |= {f"{block}{name}.weight": size, f"{block}{name}.bias": size[:1]}
        for norm in ("norm1", "norm2"):
            names |= {f"{block}{norm}.weight": (w,), f"{block}{norm}.bias": (w,)}
        if layer_scale:
            names |= {f"{block}ls1.scale_factor": (w,), f"{block}ls2.scale_factor": (w,)}
    return {prefix + name: size for name, size in names.items()}


def openvla_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of every tensor of openvla-7b, at small sizes."""
    d, mlp = LLAMA["hidden_size"], LLAMA["intermediate_size"]
    vision = DINO["width"] + SIGLIP["width"]
    names = tower("vision_backbone.featurizer.", DINO, True)
    names |= tower("vision_backbone.fused_featurizer.", SIGLIP, False)
    for name, size in {"fc1": (4 * vision, vision), "fc2": (d, 4 * vision), "fc3": (d, d)}.items():
        names |= {f"projector.{name}.weight": size, f"projector.{name}.bias": size[:1]}
    names |= {"language_model.model.embed_tokens.weight": (VOCABULARY, d)}
    names |= {"language_model.lm_head.weight": (VOCABULARY, d), "language_model.model.norm.weight": (d,)}
    for index in range(LLAMA["num_hidden_layers"]):
        layer = f"language_model.model.layers.{index}."
        for name in "qkvo":
            names[f"{layer}self_attn.{name}_proj.weight"] = (d, d)
        names |= {f"{layer}mlp.gate_proj.weight": (mlp, d), f"{layer}mlp.up_proj.weight": (mlp, d)}
        names |= {f"{layer}mlp.down_proj.weight": (d, mlp), f"{layer}input_layernorm.weight": (d,)}
        names[f"{layer}post_attention_layernorm.weight"] = (d,)
    return names


def random_tensors(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Values of a size at which every input shows in the output; bfloat16 as published."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            value = 1 + 0.1 * value
        elif len(shape) > 1 and "embed" not in name and "token" not in name:
            value = 1.4 * value / shape[1] ** 0.5
        elif name.endswith("bias"):
            value = 0.1 * value
        tensors[name] = value.to(torch.bfloat16)
    return tensors


def save_shards(folder: Path, tensors: dict[str, torch.Tensor], shards: int) -> None:
    """model-0000i-of-0000n.safetensors and their index."""
    names = list(tensors)
    weight_map = {}
    for number in range(shards):
        part = names[number::shards]
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def llama_tokenizer() -> Tokenizer:
    """Llama's kind of tokenizer: BPE over characters with bytes to fall back on, `▁` for a space."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ?:.,"
    vocabulary |= {letter: 300 + number for number, letter in enumerate(letters)} | {"▁": EMPTY}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in ("<unk>", "<s>", "</s>")])
    return tokenizer


def openvla_config() -> dict:
    """config.json of openvla/openvla-7b; sizes of the language model added."""
    return {
        "architectures": ["OpenVLAForActionPrediction"],
        "auto_map": {
            "AutoConfig": "configuration_prismatic.OpenVLAConfig",
            "AutoModelForVision2Seq": "modeling_prismatic.OpenVLAForActionPrediction",
        },
        "arch_specifier": "no-align+fused-gelu-mlp",
        "hf_llm_id": "meta-llama/Llama-2-7b-hf",
        "image_resize_strategy": "resize-naive",
        "image_sizes": [224, 224],
        "llm_backbone_id": "llama2-7b-pure",
        "llm_max_length": 2048,
        "model_type": "openvla",
        "n_action_bins": 256,
        "norm_stats": NORM_STATS,
        "output_projector_states": False,
        "pad_to_multiple_of": 64,
        "pad_token_id": 32000,
        "text_config": {
            "model_type": "llama",
            "pad_token_id": 32000,
            "torch_dtype": "bfloat16",
            "vocab_size": VOCABULARY,
            **LLAMA,
        },
        "timm_model_ids": ["vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"],
        "timm_override_act_layers": [None, None],
        "torch_dtype": "bfloat16",
        "transformers_version": "4.40.1",
        "use_fused_vision_backbone": True,
        "vision_backbone_id": "dinosiglip-vit-so-224px",
    }


def preprocessor_config() -> dict:
    """preprocessor_config.json of openvla/openvla-7b."""
    return {
        "image_processor_type": "PrismaticImageProcessor",
        "image_resize_strategy": "resize-naive",
        "input_sizes": [[3, IMAGE_SIZE, IMAGE_SIZE]] * 2,
        "interpolations": ["bicubic", "bicubic"],
        "means": [[0.484375, 0.455078125, 0.40625], [0.5, 0.5, 0.5]],
        "processor_class": "PrismaticProcessor",
        "stds": [[0.228515625, 0.2236328125, 0.224609375], [0.5, 0.5, 0.5]],
        "use_fused_vision_backbone": True,
    }


DEPLOYMENT = {
    "contract_sha256": CONTRACT,
    "period_s": 0.2,
    "cameras": ["agentview"],
    "prompt_length": 128,  # this tokenizer makes a token of each letter
    "statistics_key": "bridge_orig",
    "action_scale": [5.0, 5.0, 5.0, 5.0, 5.0, 5.0, -2.0],
    "action_offset": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
}


def make_openvla(folder: Path, shards: int = 3, seed: int = 0, **deployment) -> Path:
    """A folder as openvla/openvla-7b, with a deployment.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    save_shards(folder, random_tensors(openvla_shapes(), seed), shards)
    (folder / "config.json").write_text(json.dumps(openvla_config(), indent=2))
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor_config(), indent=2))
    llama_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "deployment.yaml").write_text(yaml.safe_dump({**DEPLOYMENT, **deployment}))
    return folder


OFT_STATISTICS = {
    "libero_spatial_no_noops": {
        "action": NORM_STATS["bridge_orig"]["action"],
        "proprio": {
            "mean": [0.0] * 8,
            "std": [1.0] * 8,
            "min": [-1.0] * 8,
            "max": [1.0] * 8,
            "q01": [-0.5, -0.3, 0.8, -3.2, -3.2, -3.2, 0.0, -0.04],
            "q99": [0.3, 0.3, 1.4, 3.2, 3.2, 3.2, 0.04, 0.0],
        },
        "num_transitions": 52970,
        "num_trajectories": 432,
    }
}
OFT_DEPLOYMENT = {
    "period_s": 0.05,
    "cameras": ["agentview", "wrist"],
    "statistics_key": "libero_spatial_no_noops",
    "state": ["ee_pose:position_axis_angle", "gripper_width:two_fingers"],
    "centre_crop": True,
    "resampling": "lanczos",
    "chunk": 8,
}


def oft_head_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of L1RegressionActionHead."""
    d = LLAMA["hidden_size"]
    names = {"layer_norm1": (7 * d,), "fc1": (d, 7 * d), "layer_norm2": (d,), "fc2": (7, d)}
    names |= {f"mlp_resnet_blocks.{i}.ffn.0": (d,) for i in range(2)}
    names |= {f"mlp_resnet_blocks.{i}.ffn.1": (d, d) for i in range(2)}
    shapes = {f"model.{name}.weight": size for name, size in names.items()}
    return shapes | {f"model.{name}.bias": size[:1] for name, size in names.items()}


def make_openvla_oft(folder: Path, continuous: bool = True, proprio: bool = True, **deployment) -> Path:
    """A folder as moojink/openvla-7b-oft-finetuned-libero-spatial; its components were saved under DDP."""
    changes = {**OFT_DEPLOYMENT, **deployment} | ({} if proprio else {"state": []})
    make_openvla(folder, seed=1, **changes)
    (folder / "dataset_statistics.json").write_text(json.dumps(OFT_STATISTICS))
    d = LLAMA["hidden_size"]
    shapes = {"fc1.weight": (d, 8), "fc1.bias": (d,), "fc2.weight": (d, d), "fc2.bias": (d,)}
    for wanted, name, part in ((continuous, "action_head", oft_head_shapes()), (proprio, "proprio_projector", shapes)):
        if wanted:
            tensors = {f"module.{key}": value for key, value in random_tensors(part, 3).items()}
            torch.save(tensors, folder / f"{name}--150000_checkpoint.pt")
    return folder


GEMMA_VOCABULARY = 257152
GEMMA = {"hidden": 32, "mlp": 48, "layers": 2, "heads": 2, "head": 16}
VISION = {"width": 32, "mlp": 40, "layers": 2, "patches": 4}
FAST_SCALE, FAST_MINIMUM, FAST_MAXIMUM = 10, -40, 40


def pi0_fast_shapes(prefix: str = "model.paligemma_with_expert.paligemma.") -> dict[str, tuple[int, ...]]:
    """Names and shapes of LeRobot's pi0-FAST, at small sizes; the head is tied and saved once."""
    d, mlp, w, between = GEMMA["hidden"], GEMMA["mlp"], VISION["width"], VISION["mlp"]
    inner = GEMMA["heads"] * GEMMA["head"]
    names = {"lm_head.weight": (GEMMA_VOCABULARY, d), "model.language_model.norm.weight": (d,)}
    for index in range(GEMMA["layers"]):
        layer = f"model.language_model.layers.{index}."
        attention = {"q": (inner, d), "k": (GEMMA["head"], d), "v": (GEMMA["head"], d), "o": (d, inner)}
        names |= {f"{layer}self_attn.{name}_proj.weight": size for name, size in attention.items()}
        names |= {f"{layer}mlp.gate_proj.weight": (mlp, d), f"{layer}mlp.up_proj.weight": (mlp, d)}
        names |= {f"{layer}mlp.down_proj.weight": (d, mlp), f"{layer}input_layernorm.weight": (d,)}
        names[f"{layer}post_attention_layernorm.weight"] = (d,)
    names |= {"model.multi_modal_projector.linear.weight": (d, w), "model.multi_modal_projector.linear.bias": (d,)}
    vision = "model.vision_tower.vision_model."
    names |= {f"{vision}embeddings.patch_embedding.weight": (w, 3, 14, 14)}
    names |= {f"{vision}embeddings.patch_embedding.bias": (w,)}
    names |= {f"{vision}embeddings.position_embedding.weight": (VISION["patches"], w)}
    names |= {f"{vision}post_layernorm.{part}": (w,) for part in ("weight", "bias")}
    for index in range(VISION["layers"]):
        layer = f"{vision}encoder.layers.{index}."
        linears = {f"self_attn.{name}": (w, w) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
        for name, size in (linears | {"mlp.fc1": (between, w), "mlp.fc2": (w, between)}).items():
            names |= {f"{layer}{name}.weight": size, f"{layer}{name}.bias": size[:1]}
        names |= {f"{layer}layer_norm{n}.{part}": (w,) for n in (1, 2) for part in ("weight", "bias")}
    return {prefix + name: size for name, size in names.items()}


def gemma_tokenizer() -> Tokenizer:
    """PaliGemma's kind of tokenizer: a token of each letter here."""
    vocabulary = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "\n": 108}
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789?:.,;|-"
    vocabulary |= {letter: 1000 + number for number, letter in enumerate(letters)} | {"▁": 235248}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Replace("▁", " ")
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in ("<pad>", "<eos>", "<bos>", "<unk>")])
    return tokenizer


def make_fast_tokenizer(folder: Path) -> Path:
    """Files of physical-intelligence/fast, fitted to coefficients of -40..40 as its own fit() does."""
    folder.mkdir(parents=True)
    generator = random.Random(0)
    coefficients = [[round(generator.gauss(0, 12)) for _ in range(14)] for _ in range(400)]
    texts = ["".join(chr(min(max(v, FAST_MINIMUM), FAST_MAXIMUM) - FAST_MINIMUM) for v in row) for row in coefficients]
    bpe = ByteLevelBPETokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        min_frequency=2,
        show_progress=False,
        special_tokens=[],
        initial_alphabet=[chr(i) for i in range(FAST_MAXIMUM - FAST_MINIMUM + 1)],
        max_token_length=10000,
    )
    bpe._tokenizer.train_from_iterator(texts, trainer=trainer)
    bpe._tokenizer.save(str(folder / "tokenizer.json"))
    config = {"action_dim": None, "min_token": FAST_MINIMUM, "scale": FAST_SCALE, "time_horizon": None}
    config |= {"processor_class": "UniversalActionProcessor", "vocab_size": 512}
    (folder / "processor_config.json").write_text(json.dumps(config))
    return folder


PI0_DEPLOYMENT = {
    "contract_sha256": CONTRACT,
    "period_s": 0.05,
    "cameras": ["agentview", "wrist"],
    "state": ["ee_pose:position_axis_angle", "gripper_width:two_fingers"],
    "action_scale": [20.0] * 6 + [-2.0],
    "action_offset": [0.0] * 6 + [1.0],
}


def make_pi0_fast(
    folder: Path, prefix: str = "model.paligemma_with_expert.paligemma.", state_size: int = 8, **deployment
) -> Path:
    """A folder as lerobot/pi0fast-libero, with both tokenizers and a deployment.yaml beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = random_tensors(pi0_fast_shapes(prefix), 2)
    tensors[f"{prefix}lm_head.weight"] *= 0.3
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    features = {
        f"observation.images.{name}": {"type": "VISUAL", "shape": [3, 256, 256]} for name in ("image", "image2")
    }
    config = {
        "type": "pi0_fast",
        "n_obs_steps": 1,
        "input_features": {**features, "observation.state": {"type": "STATE", "shape": [state_size]}},
        "output_features": {"action": {"type": "ACTION", "shape": [7]}},
        "normalization_mapping": {"VISUAL": "IDENTITY", "STATE": "QUANTILES", "ACTION": "QUANTILES"},
        "paligemma_variant": "gemma_2b",
        "dtype": "bfloat16",
        "chunk_size": 2,
        "n_action_steps": 2,
        "max_action_tokens": 256,
        "image_resolution": [28, 28],
        "tokenizer_max_length": 200,
        "max_decoding_steps": 12,
        "fast_skip_tokens": 128,
    }
    (folder / "config.json").write_text(json.dumps(config))
    state_file = "policy_preprocessor_step_3_normalizer_processor.safetensors"
    step = {
        "registry_name": "normalizer_processor",
        "config": {"eps": 1e-8, "norm_map": config["normalization_mapping"]},
    }
    steps = [{"registry_name": "to_batch_processor", "config": {}}, {**step, "state_file": state_file}]
    (folder / "policy_preprocessor.json").write_text(json.dumps({"name": "policy_preprocessor", "steps": steps}))
    action, proprio = NORM_STATS["bridge_orig"]["action"], OFT_STATISTICS["libero_spatial_no_noops"]["proprio"]
    names = ("mean", "std", "min", "max", "q01", "q99")
    numbers = {f"action.{name}": torch.tensor(action[name]) for name in names}
    numbers |= {f"observation.state.{name}": torch.tensor(proprio[name][:state_size]) for name in names}
    save_file(numbers, folder / state_file)
    gemma_tokenizer().save(str(folder / "tokenizer.json"))
    make_fast_tokenizer(folder / "action_tokenizer")
    (folder / "deployment.yaml").write_text(yaml.safe_dump({**PI0_DEPLOYMENT, **deployment}))
    return folder
