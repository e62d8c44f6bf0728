"""Torch devices of this machine."""

from __future__ import annotations

import torch

from apo_core.errors import ConfigError


def check_device(device: str, source: str) -> None:
    """Rejects a torch device that this machine does not have.

    Args:
        device: as torch names it.
        source: option or file to edit, for the message.

    Raises:
        ConfigError: names device and reason.
    """
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # an unknown name, a backend or a driver that is not there
        raise ConfigError(source, [f"device = {device!r} cannot be used: {str(error).splitlines()[0]}"]) from None
