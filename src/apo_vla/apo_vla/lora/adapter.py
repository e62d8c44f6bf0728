"""LoRA adapters: attach, save, verify, exchange. Files are PEFT's own.

By default an adapter is of the language model's linear layers; a pattern over module names chooses others, vision among
them (convolutions and linear layers).

An adapter is attached once, with B = 0, which is the base policy exactly; every later policy is a copy of numbers into
the same tensors, so base and adapters share one path and nothing is rebuilt while serving.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.utils import get_peft_model_state_dict
from torch import nn

from apo_core.errors import AdapterError, ConfigError
from apo_vla.lora.peft_fields import meaning_faults
from apo_vla.lora.shape import LoraShape

TARGET_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_LANGUAGE_MODEL = "language_model."  # in the names of its modules, see `apo_vla.model.VlaModel`
ADAPTER = "default"  # PEFT's name for the adapter that serves
_PREFIX = "base_model.model."  # of PEFT's files


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Shape of an adapter; the product B A is scaled by alpha / rank."""

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0  # share of the adapter's inputs dropped in training
    targets: str = ""  # regular expression over module names; empty: the linear layers of the language model

    def __post_init__(self) -> None:
        try:
            re.compile(self.targets)
        except re.error as error:
            fault = f"lora_targets = {self.targets!r} is no regular expression: {error}"
            raise ConfigError("adapter", [fault]) from None

    @classmethod
    def of(cls, shape: LoraShape, dropout: float = 0.0) -> LoraSettings:
        """The settings of a configuration. Raises ConfigError: `lora_targets` is no regular expression."""
        return cls(shape.lora_rank, shape.lora_alpha, dropout, shape.lora_targets)

    @property
    def target_modules(self) -> list[str] | str:
        """PEFT's `target_modules`."""
        return self.targets or sorted(TARGET_MODULES)


@dataclass(frozen=True)
class Staged:
    """Adapter tensors that fit the model, on its device; {parameter name in the model: tensor}."""

    tensors: Mapping[str, torch.Tensor]


def peft_config(settings: LoraSettings) -> LoraConfig:
    """PEFT's description of an adapter."""
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.target_modules,
        bias="none",
    )


def adapter_config(settings: LoraSettings) -> dict[str, Any]:
    """Content of adapter_config.json, JSON-serialisable."""
    plain = peft_config(settings).to_dict()
    plain["target_modules"] = settings.target_modules
    plain["inference_mode"] = True
    return {key: getattr(value, "value", value) for key, value in plain.items()}


def settings_of(config: Mapping[str, Any]) -> LoraSettings:
    """The settings behind an adapter_config.json of `adapter_config`."""
    modules = config["target_modules"]
    targets = modules if isinstance(modules, str) else ""
    return LoraSettings(int(config["r"]), float(config["lora_alpha"]), targets=targets)


def check_adapter_config(settings: LoraSettings, config: Mapping[str, Any]) -> None:
    """Raises AdapterError naming each value of an adapter_config.json that changes what its tensors mean."""
    want = {
        "peft_type": "LORA",
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "target_modules": settings.target_modules,
        "bias": "none",
        "use_rslora": False,
    }
    found = {key: config.get(key) for key in want}
    if isinstance(found["target_modules"], list):
        found["target_modules"] = sorted(found["target_modules"])
    faults = [f"{key} = {found[key]!r}, the policy has {value!r}" for key, value in want.items() if found[key] != value]
    faults += meaning_faults(config)
    if faults:
        raise AdapterError(f"adapter_config.json: {'; '.join(faults)}")


def attach_lora(model: nn.Module, settings: LoraSettings, seed: int = 0) -> None:
    """Adds a trainable adapter with B = 0 and freezes everything else; once per model.

    Args:
        model: of any family.
        settings: shape of the adapter.
        seed: of A's random values.

    Raises:
        ValueError: an adapter is attached already.
        ConfigError: no linear or convolution layer has a name that `targets` matches.
    """
    if any("lora_A" in name for name, _ in model.named_parameters()):
        raise ValueError("an adapter is attached already; use stage and swap")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = peft_config(settings)
        if settings.targets:
            config.target_modules = _matching_layers(model, settings.targets)
        elif any(_is_in_scope(model, name) for name, _ in model.named_modules()):
            # a vision tower may have layers of the same names
            inside = "|".join(map(re.escape, _scope(model)))
            config.exclude_modules = rf"(?!.*({inside})).*"
        inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    for name, value in model.named_parameters():
        if "lora_" in name:
            # small steps vanish in bfloat16, whatever the base model's precision
            value.data = value.data.float()
        value.requires_grad_("lora_" in name)


def _matching_layers(model: nn.Module, pattern: str) -> list[str]:
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    matching = [name for name in layers if re.fullmatch(pattern, name)]
    if not matching:
        raise ConfigError("adapter", [f"lora_targets = {pattern!r} matches none of {len(layers)} layers: {layers[:8]}"])
    return matching


def reaches_features(model: nn.Module) -> bool:
    """Whether the adapter is of layers before the language model, so that features depend on it."""
    return any(not _is_in_scope(model, name) for name in lora_parameters(model))


def _scope(model: nn.Module) -> tuple[str, ...]:
    """What the names of layers behind the features contain."""
    return getattr(model, "lora_scope", (_LANGUAGE_MODEL,))


def _is_in_scope(model: nn.Module, name: str) -> bool:
    return any(part in name for part in _scope(model))


def lora_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """{parameter name in the model: parameter} of the adapter that serves."""
    return {name: p for name, p in model.named_parameters() if "lora_" in name and f".{ADAPTER}." in name}


def lora_state(model: nn.Module) -> dict[str, np.ndarray]:
    """Copies of the adapter's tensors, float32, under the names of PEFT's adapter_model.safetensors."""
    state = get_peft_model_state_dict(model, adapter_name=ADAPTER)
    return {_file_name(name): value.detach().float().cpu().numpy().copy() for name, value in state.items()}


def stage(model: nn.Module, tensors: Mapping[str, np.ndarray]) -> Staged:
    """Checks an adapter's tensors against the model, without touching it.

    Raises:
        AdapterError: every name that is missing or unknown, every wrong shape or dtype, every value that is not finite.
    """
    wanted = {_file_name(name.replace(f".{ADAPTER}.", ".")): (name, p) for name, p in lora_parameters(model).items()}
    if not wanted:
        raise AdapterError("the model has no adapter attached (attach_lora)")
    faults = [f"'{name}' is missing" for name in wanted if name not in tensors]
    faults += [f"'{name}' is not a tensor of this adapter" for name in tensors if name not in wanted]
    staged = {}
    for name, (parameter_name, target) in wanted.items():
        value = tensors.get(name)
        if value is None:
            continue
        if value.dtype != np.float32:
            faults.append(f"'{name}' is {value.dtype}, must be float32")
        elif value.shape != tuple(target.shape):
            faults.append(f"'{name}' has shape {value.shape}, the policy has {tuple(target.shape)}")
        elif not np.isfinite(value).all():
            faults.append(f"'{name}' has values that are not finite")
        else:
            staged[parameter_name] = torch.tensor(value, dtype=target.dtype, device=target.device)
    if faults:
        raise AdapterError("adapter does not fit: " + "; ".join(faults))
    return Staged(staged)


def swap(model: nn.Module, staged: Staged) -> None:
    """Copies `staged` into the model, in place. Call it between two inferences; keep `staged` for a way back."""
    parameters = lora_parameters(model)
    with torch.no_grad():
        torch._foreach_copy_([parameters[name] for name in staged.tensors], list(staged.tensors.values()))


def zero(model: nn.Module) -> None:
    """Makes the model the base policy: A = B = 0, so that no number of an adapter is left."""
    with torch.no_grad():
        torch._foreach_zero_(list(lora_parameters(model).values()))


def second_slot(model: nn.Module) -> nn.Module:
    """The model once more on the same base tensors, with an adapter of its own (B = 0): costs an adapter's memory.

    Both may compute at the same time in two threads, as long as the base tensors are not written to.
    """
    own = {id(parameter) for parameter in lora_parameters(model).values()}
    shared = [t for t in (*model.parameters(), *model.buffers()) if id(t) not in own]
    other = copy.deepcopy(model, {id(tensor): tensor for tensor in shared})
    zero(other)
    return other


def _file_name(name: str) -> str:
    return name if name.startswith(_PREFIX) else _PREFIX + name
