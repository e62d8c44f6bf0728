"""Components that OpenVLA-OFT saves beside its model: <action_head or proprio_projector>--<step>_checkpoint.pt."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from apo_core.errors import CheckpointError


@dataclass(frozen=True)
class Component:
    """The tensors of one file."""

    path: Path
    tensors: Mapping[str, torch.Tensor]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one of its tensors.

        Raises:
            CheckpointError: there is none of that name.
        """
        if name not in self.tensors:
            raise CheckpointError(f"{self.path}: '{name}' is missing")
        return tuple(self.tensors[name].shape)

    def fill(self, module: nn.Module, device: str, dtype: torch.dtype) -> None:
        """Replaces a module's parameters, made empty.

        Raises:
            CheckpointError: names every tensor that is missing, unexpected, of another shape or not finite.
        """
        wanted = {name: tuple(p.shape) for name, p in module.named_parameters()}
        faults = [f"'{name}' is missing" for name in wanted if name not in self.tensors]
        faults += [f"'{name}' is unexpected" for name in self.tensors if name not in wanted]
        for name, value in self.tensors.items():
            if name in wanted and tuple(value.shape) != wanted[name]:
                faults.append(f"'{name}' has shape {tuple(value.shape)}, the model {wanted[name]}")
            elif not torch.isfinite(value).all():
                faults.append(f"'{name}' is not finite")
        if faults:
            raise CheckpointError(f"{self.path}: {'; '.join(faults)}")
        state = {name: value.to(device, dtype) for name, value in self.tensors.items()}
        module.load_state_dict(state, strict=True, assign=True)


def component_files(folder: Path, name: str) -> list[Path]:
    """The `<name>--*checkpoint.pt` of a folder."""
    return sorted(path for path in Path(folder).glob(f"{name}--*") if "checkpoint" in path.name)


def read_component(folder: Path, name: str) -> Component | None:
    """The only `<name>--*checkpoint.pt` of a folder, None where there is none.

    Only tensors are unpickled, whatever else is in the file.

    Raises:
        CheckpointError: several, or unreadable.
    """
    paths = component_files(folder, name)
    if not paths:
        return None
    if len(paths) > 1:
        raise CheckpointError(f"{folder}: {[p.name for p in paths]}: keep one of them")
    try:
        state = torch.load(paths[0], map_location="cpu", weights_only=True)
        tensors = {str(key).removeprefix("module."): value for key, value in state.items()}
        bad = [key for key, value in tensors.items() if not isinstance(value, torch.Tensor)]
    except (OSError, RuntimeError, EOFError, AttributeError, pickle.UnpicklingError) as error:
        # torch advises to load such a file without weights_only, which runs what is in it
        if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
            raise CheckpointError(
                f"{paths[0]}: holds more than tensors, or is damaged; nothing else is unpickled, since a pickle can "
                "run any program"
            ) from None
        raise CheckpointError(f"{paths[0]}: cannot be read ({type(error).__name__}: {error})") from None
    if bad:
        raise CheckpointError(f"{paths[0]}: {bad[:3]} are no tensors")
    return Component(paths[0], tensors)
