"""Setting the values of a parameter, as an optimizer does."""

import torch
from torch import nn


def put(parameter: nn.Parameter, *values: float) -> None:
    """Sets the values without a gradient."""
    with torch.no_grad():
        parameter.copy_(torch.tensor(values))
