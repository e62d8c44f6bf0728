"""How a policy computes while it serves, as parameters of the policy node. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.config.parameters import parameter

LOADED = "checkpoint"  # the precision that a checkpoint is loaded in
PRECISIONS = ("float32", "bfloat16", "float16", "int8")


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """How a policy computes while it serves."""

    precision: str = parameter(
        LOADED,
        "numbers of the model; checkpoint: as it is loaded; rejected where the device has no instructions for them",
        choices=(LOADED, *PRECISIONS),
    )
    compile: bool = parameter(False, "torch.compile for the layers of the decoder; needs a C++ compiler")
    cuda_graphs: bool = parameter(False, "record the model as CUDA graphs; needs a GPU")
