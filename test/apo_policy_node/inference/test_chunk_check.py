import dataclasses

import numpy as np
import pytest

from apo_policy_node.inference.chunk_check import chunk_fault


@pytest.fixture
def chunk(policy, observe):
    return policy.predict(observe(0))


def test_a_chunk_of_the_contract_has_no_fault(chunk, contract):
    assert chunk_fault(chunk, chunk.observation_stamp_ns, contract) == ""
    assert chunk_fault(dataclasses.replace(chunk, entropies=None), chunk.observation_stamp_ns, contract) == ""


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"values": np.zeros((4, 6), np.float32)}, "actions have shape (4, 6), the contract has (rows, 7)"),
        ({"values": np.zeros((0, 7), np.float32)}, "actions have shape (0, 7)"),
        ({"values": np.full((4, 7), np.nan, np.float32)}, "actions are not finite"),
        ({"log_probs": np.zeros(3, np.float32)}, "log_probs have shape (3,), its actions have 4 rows"),
        ({"log_probs": np.full(4, -np.inf, np.float32)}, "log_probs are not finite"),
        ({"entropies": np.zeros(3, np.float32)}, "entropies must be 4 finite numbers"),
        ({"entropies": np.full(4, np.inf, np.float32)}, "entropies must be 4 finite numbers"),
        ({"observation_stamp_ns": 1}, "is for stamp 1 ns"),
        ({"period_ns": 1}, "and period 1 ns, expected"),
    ],
)
def test_each_fault_is_named(chunk, contract, changes, fault):
    assert fault in chunk_fault(dataclasses.replace(chunk, **changes), chunk.observation_stamp_ns, contract)


def test_another_type_is_a_fault(contract):
    assert chunk_fault([1.0], 0, contract) == "the policy returned list, not an ActionChunk"
