"""A recording in place of a CUDA graph."""


class Replayed:
    """A recording without a GPU: computes on the fixed inputs again, into the same outputs."""

    made = 0

    def __init__(self, function, inputs):
        Replayed.made += 1
        self._function, self._inputs = function, inputs
        self.outputs = tuple(value.clone() for value in function(*inputs))

    def replay(self):
        for output, value in zip(self.outputs, self._function(*self._inputs), strict=True):
            output.copy_(value)
