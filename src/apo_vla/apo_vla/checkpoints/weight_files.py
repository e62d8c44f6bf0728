"""Safetensors files of a checkpoint folder: what is in them, their hash, and how they come into a model, strictly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from apo_core.errors import CheckpointError

_FLOATS = ("F64", "F32", "F16", "BF16")  # as safetensors names them; quantised weights need their scales
INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
_SHARDS = "model-*-of-*.safetensors"


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes, hexadecimal."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


class WeightFiles:
    """The tensors of one or more safetensors files.

    Args:
        folder: with model.safetensors.index.json and its shards, or model.safetensors.

    Raises:
        CheckpointError: a file is missing or damaged, or the index and a shard disagree; names every such tensor.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        index = self.folder / INDEX
        self.source = str(index if index.is_file() else self.folder / SINGLE)
        listed = self._read_index(index) if index.is_file() else {}
        if not listed and (shards := sorted(self.folder.glob(_SHARDS))):
            raise CheckpointError(
                f"{self.folder}: has {shards[0].name} without {INDEX}: add it, or leave {SINGLE} alone"
            )
        if listed and SINGLE not in listed.values() and (self.folder / SINGLE).is_file():
            raise CheckpointError(f"{self.folder}: has both {INDEX} and {SINGLE}: remove the one that is not meant")
        self.files = sorted({self.folder / shard for shard in listed.values()} or {self.folder / SINGLE})
        missing = [path.name for path in self.files if not path.is_file()]
        if missing:
            raise CheckpointError(f"{self.folder}: {', '.join(missing)} missing")
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.bytes = 0
        self._types: dict[str, str] = {}
        self._where: dict[str, Path] = {}
        for path in self.files:
            self._read_header(path)
        if listed:
            self._compare(listed)

    def sha256(self, others: Iterable[Path] = ()) -> str:
        """Hash of the names and bytes of these files and `others`, hexadecimal; shards are read at the same time."""
        paths = [*self.files, *others]
        with ThreadPoolExecutor(max_workers=4) as pool:
            lines = [f"{path.name} {digest}" for path, digest in zip(paths, pool.map(file_sha256, paths), strict=True)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def equal(self, one: str, other: str) -> bool:
        """Whether two tensors hold the same values. Raises CheckpointError for a file that cannot be read."""
        values = []
        for name in (one, other):
            try:
                with safe_open(self._where[name], "pt") as file:
                    values.append(file.get_tensor(name))
            except (OSError, SafetensorError) as error:
                raise CheckpointError(f"{self._where[name]}: cannot be read ({error})") from None
        return torch.equal(*(value.float() for value in values))

    def fill(
        self,
        model: nn.Module,
        device: str,
        dtype: torch.dtype,
        rename: Callable[[str], str | None],
        change: Callable[[str, torch.Tensor], torch.Tensor] | None = None,
        elsewhere: Collection[str] = (),
        stays_float32: Callable[[str], bool] | None = None,
    ) -> None:
        """Replaces the parameters of a model, made empty, by those of the files.

        Args:
            model: its parameters may be on the meta device; its buffers must not.
            device: torch device of the new parameters.
            dtype: of the new parameters.
            rename: name in the file -> parameter name; None for a tensor that the model does not need.
            change: (name in the file, tensor on the device) -> tensor, e.g. with an adapter merged.
            elsewhere: parameters that these files do not hold.
            stays_float32: which parameters are float32 whatever `dtype` is; None: none of them.

        Raises:
            CheckpointError: lists missing, unexpected and misshapen names, and tensors that are no finite floats.
        """
        wanted = {name: tuple(p.shape) for name, p in model.named_parameters(remove_duplicate=False)}
        names = {target: name for name in self.shapes if (target := rename(name)) is not None}
        faults = [f"'{name}' is missing" for name in wanted if name not in names and name not in elsewhere]
        faults += [f"'{name}' is unexpected" for target, name in names.items() if target not in wanted]
        faults += [
            f"'{names[target]}' has shape {self.shapes[names[target]]}, the model {shape}"
            for target, shape in wanted.items()
            if target in names and self.shapes[names[target]] != shape
        ]
        faults += [f"'{name}' is {self._types[name]}" for name in names.values() if self._types[name] not in _FLOATS]
        if faults:
            raise CheckpointError(f"{self.source}: {_shortened(faults)}")
        targets = {name: target for target, name in names.items()}
        for path in self.files:
            with safe_open(path, "pt", device=str(device)) as file:
                for name in file.keys():  # noqa: SIM118, not a dict
                    if name in targets:
                        value = file.get_tensor(name)
                        if change is not None:
                            value = change(name, value)
                        is_kept = stays_float32 is not None and stays_float32(targets[name])
                        value = value.to(torch.float32 if is_kept else dtype)
                        if not torch.isfinite(value).all():
                            raise CheckpointError(f"{path}: '{name}' is not finite in {value.dtype}")
                        _set_parameter(model, targets[name], value)

    def _read_index(self, path: Path) -> dict[str, str]:
        try:
            listed = json.loads(path.read_text())["weight_map"]
            bad = [shard for shard in listed.values() if Path(shard).name != shard]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error})") from None
        if bad:
            raise CheckpointError(f"{path}: shards {bad[:3]} are not plain file names")
        return listed

    def _read_header(self, path: Path) -> None:
        try:
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118
                    if name in self.shapes:
                        raise CheckpointError(f"{path}: '{name}' is in {self._where[name].name} too")
                    tensor = file.get_slice(name)
                    self.shapes[name], self._types[name] = tuple(tensor.get_shape()), tensor.get_dtype()
                    self._where[name] = path
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error})") from None
        self.bytes += path.stat().st_size

    def _compare(self, listed: dict[str, str]) -> None:
        faults = [
            f"'{name}' is in {INDEX}, not in {shard}" for name, shard in listed.items() if self._at(name) != shard
        ]
        faults += [f"'{name}' is not in {INDEX}" for name in self.shapes if name not in listed]
        if faults:
            raise CheckpointError(f"{self.folder}: {_shortened(faults)}")

    def _at(self, name: str) -> str | None:
        return self._where[name].name if name in self._where else None


def _set_parameter(model: nn.Module, name: str, value: torch.Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    model.get_submodule(owner)._parameters[leaf] = nn.Parameter(value, requires_grad=False)


def _shortened(faults: list[str]) -> str:
    more = f"; and {len(faults) - 20} more" if len(faults) > 20 else ""
    return "; ".join(faults[:20]) + more
