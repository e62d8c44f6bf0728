"""The processes of one training, one a device: `accelerate launch -m apo_trainer.train`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from apo_core.errors import ConfigError
from apo_vla.devices import check_device

T = TypeVar("T")
_SOURCE = "config/trainer.yaml"


class Processes:
    """This process alone."""

    rank = 0
    count = 1

    def __init__(self, device: str = "cpu"):
        check_device(device, _SOURCE)
        self.device = torch.device(device)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files, reports and publishes."""
        return self.rank == 0

    def rows(self, total: int) -> range:
        """This process's rows of a batch.

        Raises:
            ConfigError: the batch cannot be divided evenly.
        """
        if total % self.count:
            raise ConfigError(_SOURCE, [f"batch_size = {total} must be a multiple of the {self.count} processes"])
        share = total // self.count
        return range(self.rank * share, (self.rank + 1) * share)

    def gather(self, rows: Tensor) -> Tensor:
        """(n, k) of every process, the same n in each, one below the other: (processes * n, k)."""
        return rows

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its sum over all processes."""

    def any(self, flag: bool) -> bool:
        """Whether the flag is true in any process."""
        return flag

    def share(self, value: T) -> T:
        """The main process's value, in every process."""
        return value

    def end(self) -> None:
        """Leaves the group; nothing may be shared after it."""


class LaunchedProcesses(Processes):
    """The processes that `accelerate launch` started, on one machine or several."""

    def __init__(self, device: str):
        from accelerate import PartialState

        self._state = PartialState(cpu=device == "cpu")
        super().__init__(str(self._state.device))
        if not device.startswith(self.device.type):
            raise ConfigError(_SOURCE, [f"device = {device!r}, the launcher gives {self.device}"])
        self.rank, self.count = self._state.process_index, self._state.num_processes

    def gather(self, rows: Tensor) -> Tensor:
        from accelerate.utils import gather

        return gather(rows.contiguous())

    def add(self, tensors: Sequence[Tensor]) -> None:
        from accelerate.utils import reduce

        # one message for all of them: an adapter has hundreds of small tensors
        total = reduce(torch.cat([tensor.flatten() for tensor in tensors]), reduction="sum")
        parts = total.split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(list(tensors), [part.view_as(t) for part, t in zip(parts, tensors, strict=True)])

    def any(self, flag: bool) -> bool:
        return bool(self.gather(torch.tensor([[float(flag)]], device=self.device)).any())

    def share(self, value: T) -> T:
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def end(self) -> None:
        self._state.destroy_process_group()


def launched() -> bool:
    """Whether a launcher started this process together with others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def processes(device: str) -> Processes:
    """This process, or the group that a launcher put it into.

    Raises:
        ConfigError: this machine has no such device.
    """
    return LaunchedProcesses(device) if launched() else Processes(device)
