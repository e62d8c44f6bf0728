"""Aligns camera and state streams by header stamp into observations. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

import numpy as np

from apo_core.contract.contract import Contract
from apo_core.types import Observation

_IMAGES = 64  # kept of a camera
_STATES = 2048  # of a state key: its driver may publish at 1 kHz, and a picture come 1 s later
# a step back larger than any reordering: the clock was set back, or the stamp before was wrong
_SET_BACK_NS = 1_000_000_000


class ObservationSync:
    """Collects samples of every stream of a contract and emits aligned observations, oldest first.

    The reference stamp of an observation is the newest stamp that the slowest stream has reached; every part is the
    sample nearest to it and at most `tolerance_s` away. Samples that arrive out of order or twice are dropped and
    counted; a stream whose stamps go back by more than a second begins anew, which counts as well.

    Args:
        contract: which streams there are, and the tolerance.
        instruction: text put into every observation.
    """

    def __init__(self, contract: Contract, instruction: str = ""):
        self.instruction = instruction
        self.out_of_order = dict.fromkeys((*contract.image_names, *contract.state_names), 0)
        self._images = contract.image_names
        self._streams: dict[str, deque[tuple[int, np.ndarray, int]]] = {
            name: deque(maxlen=_IMAGES if name in self._images else _STATES) for name in self.out_of_order
        }
        self._tolerance_ns = round(contract.tolerance_s * 1e9)
        self._emitted_ns = -1

    def add(self, name: str, stamp_ns: int, value: np.ndarray, receive_ns: int = 0) -> Observation | None:
        """Adds a sample of stream `name`; returns an observation when this sample completed one.

        Args:
            name: a camera or state key of the contract.
            stamp_ns: its header stamp.
            value: the sample.
            receive_ns: steady time of its arrival; 0 where nobody asks.

        Raises:
            KeyError: a stream the contract does not have.
        """
        stream = self._streams[name]
        if stream and stamp_ns <= stream[-1][0]:
            self.out_of_order[name] += 1
            if stream[-1][0] - stamp_ns <= _SET_BACK_NS:
                return None
            stream.clear()
            # a late sample must not repeat what was emitted
            if self._emitted_ns - stamp_ns > _SET_BACK_NS:
                self._emitted_ns = stamp_ns - 1
        stream.append((stamp_ns, value, receive_ns))
        if not all(self._streams.values()):
            return None
        reference = min(stream[-1][0] for stream in self._streams.values())
        if reference <= self._emitted_ns:
            return None
        parts = {name: self._nearest(stream, reference) for name, stream in self._streams.items()}
        if any(abs(stamp - reference) > self._tolerance_ns for stamp, _, _ in parts.values()):
            return None
        self._emitted_ns = reference
        return Observation(
            stamp_ns=reference,
            images={name: parts[name][1] for name in self._images},
            state={name: value for name, (_, value, _) in parts.items() if name not in self._images},
            instruction=self.instruction,
            header_stamps_ns={name: stamp for name, (stamp, _, _) in parts.items()},
            receive_ns={name: received for name, (_, _, received) in parts.items()},
        )

    @staticmethod
    def _nearest(stream: deque[tuple[int, np.ndarray, int]], reference: int) -> tuple[int, np.ndarray, int]:
        index = bisect_left(stream, reference, key=lambda sample: sample[0])
        candidates = [stream[i] for i in (index - 1, index) if 0 <= i < len(stream)]
        return min(candidates, key=lambda sample: abs(sample[0] - reference))
