"""Fields of PEFT's adapter_config.json that change what an adapter's tensors mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Only the values that A and B started from. The others (pissa, olora, corda, loftq, lora_ga, ...) take a part out of
# the base weights at the start, which the tensors add to.
_PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
_READ = ("peft_type", "r", "lora_alpha", "bias", "use_rslora", "target_modules", "init_lora_weights")
# Of training, of bookkeeping, or of a feature that another field turns on.
_WITHOUT_MEANING = (
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "lora_dropout",
    "megatron_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
)


def meaning_faults(config: Mapping[str, Any]) -> list[str]:
    """Every field with which the tensors are not the plain product B A that is added to the weights of the base.

    Args:
        config: content of adapter_config.json. A field that is absent, null, false, 0 or empty has no effect.
    """
    faults = [
        f"{name} = {value!r} is not supported"
        for name, value in config.items()
        if value and name not in _READ and name not in _WITHOUT_MEANING
    ]
    start = config.get("init_lora_weights")
    if start not in _PLAIN_STARTS:
        faults.append(
            f"init_lora_weights = {start!r} belongs to base weights that it changed: save the adapter again with "
            "PEFT's path_initial_model_for_weight_conversion, which makes it a plain one"
        )
    return faults
