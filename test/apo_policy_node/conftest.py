"""A small contract and policies in memory that hold callers to it."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
from small_contract import contract_data

from apo_core.contract.action_range import DataRange
from apo_core.contract.contract import Contract, contract_from_dict
from apo_core.errors import AdapterError
from apo_core.served_policy import PolicyCapabilities
from apo_core.types import ActionChunk, Observation

PERIOD_NS = 50_000_000
START_NS = 7_000_000_000


class FakePolicy:
    """Answers with the mean of the image plus its bias; checks every observation against the contract."""

    def __init__(self, contract: Contract):
        self.contract = contract
        self.base_sha256, self.statistics_sha256 = "a" * 64, "b" * 64
        self.contract_sha256 = contract.sha256
        self.data_range: DataRange | None = None
        self.adapter_version = 0
        self.bias = 0.0
        self.rows = self.chunk = 4
        self.capabilities = PolicyCapabilities(committed_rows=True, entropies=True)
        self.entropy = 2.0
        self.committed: list[np.ndarray | None] = []
        self.predicted: list[int] = []  # stamps
        self.lock = threading.RLock()
        self.change: Callable[[ActionChunk], object] = lambda chunk: chunk  # what a fault makes of the answer

    def predict(
        self, observation: Observation, committed: np.ndarray | None = None, rows: int | None = None
    ) -> ActionChunk:
        self.contract.check_observation(observation)
        with self.lock:
            self.predicted.append(observation.stamp_ns)
            self.committed.append(committed)
            level = float(np.mean(observation.images["front"])) / 255 + self.bias
            count = rows or self.rows
            values = np.full((count, self.contract.action.size), level, np.float32)
            if committed is not None:
                assert committed.shape[1] == self.contract.action.size and 0 < len(committed) < count
                values[: len(committed)] = committed
            chunk = ActionChunk(
                observation_stamp_ns=observation.stamp_ns,
                period_ns=PERIOD_NS,
                values=values,
                log_probs=np.full(count, -1.0, np.float32),
                adapter_version=self.adapter_version,
                entropies=np.full(count, self.entropy, np.float32),
            )
            return self.change(chunk)

    def stage(self, tensors):
        if set(tensors) != {"bias"}:
            raise AdapterError(f"adapter does not fit: {sorted(tensors)}")
        if not np.isfinite(tensors["bias"]).all():
            raise AdapterError("adapter does not fit: 'bias' has values that are not finite")
        return float(tensors["bias"][0])

    def swap(self, staged, version: int):
        with self.lock:
            self.bias, self.adapter_version = staged, version

    def use_base(self):
        self.swap(0.0, 0)

    def second_slot(self):
        """Another policy on the same base."""
        return FakePolicy(self.contract)


class Clock:
    """Seconds; each reading is `step` later than the one before."""

    def __init__(self, step: float = 0.0):
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def contract() -> Contract:
    names = ["vx", "vy", "vz", "wx", "wy", "wz", "gripper"]
    pose = {"topic": "ee_pose", "type": "geometry_msgs/msg/PoseStamped", "size": 7, "unit": "m"}
    data = contract_data(
        rate_hz=20.0,
        state={"ee_pose": pose},
        action={"names": names, "units": ["m/s"] * 7, "low": [-1.0] * 7, "high": [1.0] * 7},
    )
    return contract_from_dict(data, "test contract")


@pytest.fixture
def policy(contract: Contract) -> FakePolicy:
    return FakePolicy(contract)


@pytest.fixture
def second(policy: FakePolicy) -> FakePolicy:
    return policy.second_slot()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def observe() -> Callable[..., Observation]:
    """Makes the observation of a tick."""

    def make(tick: float, level: int = 100, stamp_ns: int | None = None) -> Observation:
        state = np.zeros(7, np.float32)
        state[6] = 1.0
        return Observation(
            START_NS + round(tick * PERIOD_NS) if stamp_ns is None else stamp_ns,
            {"front": np.full((4, 6, 3), level, np.uint8)},
            {"ee_pose": state},
            "lift",
        )

    return make
