"""A PEFT LoRA adapter that belongs to a base policy: merged into the weights once, while they are read.

The product is added in float32 to the weights of the file and rounded once, so that nothing is lost by adding and
taking away (bfloat16 would change half of the weights). Official OpenVLA adapters also hold the vision towers, their
patch convolutions, lm_head with a copy of its base weights, and modules behind the features, which need none of it.
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
from apo_vla.lora.peft_fields import meaning_faults

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."
_COPY = ".base_layer.weight"
# Share of the product that weights already hold, and standard deviations of that share over independent weights.
_HELD_SHARE, _CERTAIN = 0.5, 5.0


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
        if not isinstance(config, dict):
            raise AdapterError(f"{self.files[0]}: is not a mapping of keys")
        self._scale = self._read_scale(config)
        rank = config["r"]
        copies = {name for name in tensors if name.endswith(_COPY)}
        self._copies = {_module(name, _COPY): tensors[name] for name in copies}
        self._pairs = self._pair({name: value for name, value in tensors.items() if name not in copies})
        self._overlap = self._size = self._variance = 0.0
        faults = [
            f"'{name}' has a copy {tuple(copy.shape)} of the base, the checkpoint {shapes.get(name)}"
            for name, copy in self._copies.items()
            if tuple(copy.shape) != shapes.get(name)
        ]
        for name, (a, b) in self._pairs.items():
            want = shapes.get(name)
            if want is None:
                faults.append(f"'{name}' is not in the checkpoint")
            elif (b.shape[0], *a.shape[1:]) != want or a.shape[0] != b.shape[1]:
                faults.append(f"'{name}' has A {tuple(a.shape)} and B {tuple(b.shape)}, the checkpoint {want}")
            elif a.shape[0] != rank:
                faults.append(f"'{name}' is of rank {a.shape[0]}, {CONFIG} has r = {rank}")
            elif not (torch.isfinite(a).all() and torch.isfinite(b).all()):
                faults.append(f"'{name}' has values that are not finite")
        if faults:
            raise AdapterError(f"{self.files[1]}: {'; '.join(faults[:20])}")

    @property
    def parameters(self) -> int:
        """Numbers in the adapter."""
        return sum(a.numel() + b.numel() for a, b in self._pairs.values())

    def merge(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """`weight` of the checkpoint's tensor `name` with the adapter added in float32; as it is without one.

        Raises:
            AdapterError: the adapter holds a copy of its base's tensor, which is another one.
        """
        copy = self._copies.get(name)
        if copy is not None and not _equal(copy.to(weight.device), weight):
            raise AdapterError(f"{self.files[1]}: was trained on another base: its copy of '{name}' differs from it")
        if name not in self._pairs:
            return weight
        a, b = (part.to(weight.device, torch.float32) for part in self._pairs[name])
        # a convolution's B is 1 x 1, so that both kinds are one matrix product
        delta = self._scale * (b.flatten(1) @ a.flatten(1)).view(weight.shape)
        base, size = weight.float(), float(delta.square().sum())
        self._overlap += float((base * delta).sum())
        self._size += size
        self._variance += size * float(base.square().mean())
        return base + delta

    def check_not_held(self) -> None:
        """Call when every tensor was merged.

        Weights that the product was added to before hold it once: their projection on it is 1, that of others near 0.

        Raises:
            AdapterError: the weights of the checkpoint hold the adapter already.
        """
        share = self._overlap / self._size if self._size else 0.0
        if share > _HELD_SHARE and self._overlap > _CERTAIN * math.sqrt(self._variance):
            raise AdapterError(
                f"{self.folder}: the checkpoint's weights hold this adapter already ({share:.0%} of it), as "
                "OpenVLA-OFT saves them: leave `adapter` empty"
            )

    def _read_scale(self, config: Mapping) -> float:
        faults = [
            f"{key} = {config.get(key)!r}, must be {want!r}"
            for key, want in (("peft_type", "LORA"), ("bias", "none"))
            if config.get(key) != want
        ]
        faults += meaning_faults(config)
        rank: Any = config.get("r")
        alpha: Any = config.get("lora_alpha")
        sound = isinstance(rank, int) and rank >= 1 and isinstance(alpha, int | float)
        if not sound:
            faults.append(f"r = {rank!r} must be a whole number of at least 1, lora_alpha = {alpha!r} a number")
        if faults:
            raise AdapterError(f"{self.folder / CONFIG}: {'; '.join(faults)}")
        return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)

    def _pair(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """{tensor name of the checkpoint: (A, B)}."""
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


def _module(name: str, ending: str) -> str:
    """The checkpoint's name of a tensor that the adapter holds under a name with this ending."""
    return f"{name.removeprefix(_PREFIX).removesuffix(ending)}.weight"


def _equal(copy: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether one is the other, rounded to either's type."""
    return torch.equal(copy.to(weight.dtype), weight) or torch.equal(copy, weight.to(copy.dtype))
