"""What is done to a policy's model before it serves."""

from __future__ import annotations

import torch
from transformers import LlamaModel

from apo_core.errors import ConfigError
from apo_vla.decoding.projections import linears
from apo_vla.model import VlaModel, decoding_model
from apo_vla.policy import VlaPolicy
from apo_vla.precision import convert
from apo_vla.serving.quantization import check_precision, dtype_of, quantise_linears
from apo_vla.serving.settings import LOADED, ServingSettings

# of decoder layers in which an adapter is merged; in larger ones that saves a twentieth of a prediction at most
_MERGED_BYTES = 512 * 2**20


def set_up(policy: VlaPolicy, settings: ServingSettings, source: str) -> None:
    """Changes a policy's model to the settings; it must not be trained afterwards.

    Args:
        policy: on its device.
        settings: how it is to compute.
        source: file to edit, for messages.

    Raises:
        ConfigError: everything that the device or the model cannot do.
    """
    faults = _faults(policy, settings)
    if faults:
        raise ConfigError(source, faults)
    if settings.precision != LOADED:
        check_precision(settings.precision, str(policy.device), source)
    _convert(policy, settings, source)
    model = decoding_model(policy.model)
    if model is not None:
        merge = merges(model.decoder.model, policy.device, settings.precision)
        model.decoder = model.decoder.with_merge(merge)
        if settings.compile:
            model.decoder.compile()


def merges(language_model: LlamaModel, device: torch.device, precision: str) -> bool:
    """Whether serving merges an adapter into copies of a decoder's weights, or else computes it beside them.

    It does in small layers on a CPU. Wherever memory is dear or addresses must stay, the adapter is beside the weights.

    Args:
        language_model: in the numbers that it will compute with.
        device: where it will.
        precision: of `ServingSettings`.
    """
    if device.type != "cpu" or precision == "int8":
        return False
    weights = [linear.weight for layer in language_model.layers for linear in linears(layer)]
    return sum(weight.numel() * weight.element_size() for weight in weights) <= _MERGED_BYTES


def _faults(policy: VlaPolicy, settings: ServingSettings) -> list[str]:
    faults = []
    if settings.cuda_graphs and policy.device.type != "cuda":
        faults.append(f"cuda_graphs = true needs device = cuda:0 or another GPU, got {str(policy.device)!r}")
    if decoding_model(policy.model) is None:
        model = f"this {type(policy.model).__name__}, which is not served by the fast decoder{_why(policy.model)}"
        wanted = ("cuda_graphs", settings.cuda_graphs), ("compile", settings.compile)
        faults += [f"{name} = true cannot be used with {model}" for name, value in wanted if value]
        if settings.precision == "int8":
            faults.append(f"precision = 'int8' cannot be used with {model}")
    return faults


def _why(model: VlaModel) -> str:
    fault = model.capabilities.decoder_fault
    return f": {fault}" if fault else ""


def _convert(policy: VlaPolicy, settings: ServingSettings, source: str) -> None:
    model = policy.model
    decoding = decoding_model(model)
    if settings.precision != "int8" or decoding is None:
        # an adapter may have been attached in a finer type
        convert(model, dtype_of(settings.precision) or next(model.parameters()).dtype)
        return
    convert(model, torch.bfloat16 if policy.device.type == "cuda" else torch.float32)
    try:
        quantise_linears(decoding.decoder.model)
    except ValueError as error:
        raise ConfigError(source, [f"precision = 'int8': {error}"]) from None
