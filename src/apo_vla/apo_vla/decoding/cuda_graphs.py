"""CUDA graphs of tensor functions: recorded once for each shape of input, replayed without the cost of its launches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import torch

Function = Callable[..., Sequence[torch.Tensor]]
_WARM_UP = 3  # runs before a recording: libraries choose their kernels and take their memory in them


class Recording(Protocol):
    """A function recorded on fixed inputs; `replay` computes its outputs anew from what these hold then."""

    outputs: Sequence[torch.Tensor]

    def replay(self) -> None: ...


class CudaRecording:
    """A recording on a CUDA device; the function must not wait for the device nor depend on values.

    Args:
        function: tensors to tensors.
        inputs: fixed tensors.
    """

    def __init__(self, function: Function, inputs: Sequence[torch.Tensor]):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                function(*inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        # another thread may stage an adapter meanwhile
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self.outputs: Sequence[torch.Tensor] = tuple(function(*inputs))

    def replay(self) -> None:
        """Runs it."""
        self._graph.replay()


class GraphCache:
    """Runs functions by their recordings, one for each name and shapes of inputs. Not thread-safe.

    Weights must stay at their addresses. The oldest recording goes when there are too many.

    Args:
        record: makes a recording.
        limit: recordings kept at most.
    """

    def __init__(self, record: Callable[[Function, Sequence[torch.Tensor]], Recording] = CudaRecording, limit: int = 8):
        self._record, self._limit = record, limit
        self._recorded: OrderedDict[tuple, tuple[list[torch.Tensor], Recording]] = OrderedDict()

    def __call__(self, name: str, function: Function, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The outputs of `function(*inputs)`; `name` distinguishes functions of inputs of the same shapes."""
        key = (name, *((tuple(value.shape), value.dtype) for value in inputs))
        if key not in self._recorded:
            while len(self._recorded) >= self._limit:
                self._recorded.popitem(last=False)
            fixed = [value.clone() for value in inputs]
            self._recorded[key] = fixed, self._record(function, fixed)
        self._recorded.move_to_end(key)
        fixed, recording = self._recorded[key]
        for target, value in zip(fixed, inputs, strict=True):
            target.copy_(value)
        recording.replay()
        return tuple(value.clone() for value in recording.outputs)
