"""A PEFT LoRA adapter that belongs to a base policy: merged into the weights once, while they are read.

The product is added in float32 to the weights of the file and rounded once, so that nothing is lost by adding and
taking away (bfloat16 would change half of the weights). Official OpenVLA adapters also hold the vision towers, their
patch convolutions, lm_head, and modules behind the features, which need none of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from apo_core.errors import AdapterError

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."


class MergedAdapter:
    """Reads an adapter folder in PEFT's format.

    Args:
        folder: with adapter_config.json and adapter_model.safetensors.
        shapes: {tensor name: shape} of the checkpoint it is for.

    Raises:
        AdapterError: unreadable, of another kind than plain LoRA, or tensors that the checkpoint does not have.
    """

    def __init__(self, folder: Path, shapes: Mapping[str, tuple[int, ...]]):
        self.folder = Path(folder)
        self.files = [self.folder / CONFIG, self.folder / WEIGHTS]
        try:
            config = json.loads(self.files[0].read_text())
            tensors = load_file(self.files[1])
        except (OSError, ValueError, SafetensorError) as error:
            raise AdapterError(f"{self.folder}: cannot be read ({type(error).__name__}: {error})") from None
        self._scale = self._read_scale(config)
        self._pairs = self._pair(tensors)
        faults = []
        for name, (a, b) in self._pairs.items():
            want = shapes.get(name)
            if want is None:
                faults.append(f"'{name}' is not in the checkpoint")
            elif (b.shape[0], *a.shape[1:]) != want or a.shape[0] != b.shape[1]:
                faults.append(f"'{name}' has A {tuple(a.shape)} and B {tuple(b.shape)}, the checkpoint {want}")
            elif not (torch.isfinite(a).all() and torch.isfinite(b).all()):
                faults.append(f"'{name}' has values that are not finite")
        if faults:
            raise AdapterError(f"{self.files[1]}: {'; '.join(faults[:20])}")

    @property
    def parameters(self) -> int:
        """Numbers in the adapter."""
        return sum(a.numel() + b.numel() for a, b in self._pairs.values())

    def merge(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """`weight` of the checkpoint's tensor `name` with the adapter added in float32; as it is without one."""
        if name not in self._pairs:
            return weight
        a, b = (part.to(weight.device, torch.float32) for part in self._pairs[name])
        # a convolution's B is 1 x 1, so that both kinds are one matrix product
        delta = (b.flatten(1) @ a.flatten(1)).view(weight.shape)
        return weight.float() + self._scale * delta

    def _read_scale(self, config: Mapping) -> float:
        faults = [
            f"{key} = {config.get(key)!r}, must be {want!r}"
            for key, want in (("peft_type", "LORA"), ("bias", "none"))
            if config.get(key) != want
        ]
        faults += [
            f"{key} = {config[key]!r} is not supported"
            for key in ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "fan_in_fan_out")
            if config.get(key)
        ]
        rank: Any = config.get("r")
        alpha: Any = config.get("lora_alpha")
        sound = isinstance(rank, int) and rank >= 1 and isinstance(alpha, int | float)
        if not sound:
            faults.append(f"r = {rank!r} must be a whole number of at least 1, lora_alpha = {alpha!r} a number")
        if faults:
            raise AdapterError(f"{self.folder / CONFIG}: {'; '.join(faults)}")
        return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)

    def _pair(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        found: dict[str, dict[str, torch.Tensor]] = {}
        unknown = []
        for name, value in tensors.items():
            module, _, part = name.removeprefix(_PREFIX).rpartition(".lora_")
            if module and part in ("A.weight", "B.weight"):
                found.setdefault(f"{module}.weight", {})[part[0]] = value
            else:
                unknown.append(name)
        single = [name for name, parts in found.items() if len(parts) != 2]
        if unknown or single or not found:
            raise AdapterError(f"{self.files[1]}: no LoRA tensors {unknown[:5]}, A or B is missing of {single[:5]}")
        return {name: (parts["A"], parts["B"]) for name, parts in found.items()}
