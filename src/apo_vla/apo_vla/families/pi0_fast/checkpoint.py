"""Reads a pi0-FAST checkpoint in LeRobot's layout.

Its files: config.json, model.safetensors, policy_preprocessor.json with its statistics; PaliGemma's tokenizer.json and
a folder with the FAST tokenizer, which older versions of LeRobot keep elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from accelerate import init_empty_weights
from tokenizers import Tokenizer
from transformers import PaliGemmaConfig

from apo_core.errors import CheckpointError
from apo_vla.actions.fast_tokenizer import FastTokenizer, read_fast_tokenizer
from apo_vla.checkpoints.deployment import DEPLOYMENT, conversion_sha256
from apo_vla.checkpoints.types import CONFIG, Checkpoint
from apo_vla.checkpoints.weight_files import WeightFiles
from apo_vla.families.pi0_fast.deployment import Pi0FastDeployment
from apo_vla.families.pi0_fast.model import Pi0Fast, Pi0FastConfig
from apo_vla.inputs.text_tokenizer import find_tokenizer, read_tokenizer
from apo_vla.lerobot.config_file import camera_faults, read_settings, setting_faults, whole_number
from apo_vla.lerobot.paligemma import VOCABULARY, has_own_head, paligemma_config, paligemma_renamer
from apo_vla.lerobot.statistics import LeRobotStatistics, read_lerobot_statistics


def load_pi0_fast(folder: Path, device: str, dtype: torch.dtype | None, deployment: Pi0FastDeployment) -> Checkpoint:
    """Reads a checkpoint; see `apo_vla.loading.load_checkpoint`."""
    folder = Path(folder)
    settings = read_settings(folder)
    weights = WeightFiles(folder)
    paligemma = paligemma_config(weights, "pi0-FAST")
    statistics = read_lerobot_statistics(folder, deployment, deployment.widening)
    fast = read_fast_tokenizer(folder / deployment.action_tokenizer)
    tokenizer = read_tokenizer(find_tokenizer(folder, deployment.text_tokenizer), paligemma.text_config.vocab_size)
    config = _config(folder, settings, deployment, statistics, tokenizer, fast, paligemma)
    # buffers are not in the files; on the meta device the rotary ones would stay empty
    with init_empty_weights(include_buffers=False):
        model = Pi0Fast(config, paligemma, has_own_head(weights)).eval()
    dtype = dtype or (torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16)
    ours = [name for name, _ in model.named_parameters()]
    head = None if model.lm_head is None else "lm_head.weight"
    weights.fill(model, device, dtype, paligemma_renamer(ours, weights.shapes, head))
    model.to(device)
    digest = conversion_sha256(statistics.sha256, deployment)
    return Checkpoint(model, tokenizer, statistics, weights.sha256(), digest, {})


def _config(
    folder: Path,
    settings: Mapping,
    deployment: Pi0FastDeployment,
    statistics: LeRobotStatistics,
    tokenizer: Tokenizer,
    fast: FastTokenizer,
    paligemma: PaliGemmaConfig,
) -> Pi0FastConfig:

    def number(name: str, default: int) -> int:
        return whole_number(settings, name, default, folder / CONFIG)

    end = tokenizer.encode("|", add_special_tokens=False).ids
    config = Pi0FastConfig(
        views=deployment.views,
        state_size=len(statistics.state_low),
        action_size=len(statistics.action_low),
        chunk=number("chunk_size", 50),
        period_ns=deployment.period_ns,
        image_size=paligemma.vision_config.image_size,
        prompt_length=number("tokenizer_max_length", 200) + 2,
        max_tokens=number("max_decoding_steps", 256),
        intro=tuple(tokenizer.encode("Action: ", add_special_tokens=False).ids),
        end_id=end[-1] if end else -1,
        action_end=VOCABULARY - 1 - number("fast_skip_tokens", 128),
        openpi=deployment.openpi,
        black_images=deployment.black_places,
        fast=fast,
    )
    faults = camera_faults(deployment.cameras, settings)
    if deployment.chunk not in (1, config.chunk):
        faults.append(f"chunk = {deployment.chunk}, {CONFIG} has chunk_size = {config.chunk}")
    faults += setting_faults(folder, settings, {})
    if paligemma.text_config.vocab_size < VOCABULARY:
        faults.append(f"the model has {paligemma.text_config.vocab_size} tokens, PaliGemma has {VOCABULARY}")
    if len(end) != 1 or not config.intro:
        faults.append(f"text_tokenizer = {deployment.text_tokenizer!r} makes {end} of '|', must make one token")
    if fast.vocabulary > config.action_end:
        faults.append(f"the FAST tokenizer's {fast.vocabulary} tokens do not fit below {config.action_end}")
    if faults:
        raise CheckpointError(f"{folder / DEPLOYMENT}: {'; '.join(faults)}")
    return config
