import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from apo_core.ros.action_chunk import chunk_from_msg, chunk_to_msg, fault_to_msg
from apo_core.types import ActionChunk

ROWS = np.arange(28, dtype=np.float32).reshape(4, 7) / 100


def test_chunk_survives(small_contract):
    chunk = ActionChunk(300_000_000, small_contract.period_ns, ROWS, np.arange(4, dtype=np.float32), 6)
    again = chunk_from_msg(chunk_to_msg(chunk, 400_000_000, small_contract, 0.01))
    assert (again.observation_stamp_ns, again.adapter_version) == (300_000_000, 6)
    assert again.period_ns == small_contract.period_ns
    np.testing.assert_array_equal(again.values, ROWS)
    np.testing.assert_array_equal(again.log_probs, chunk.log_probs)


def test_fault_has_no_chunk(small_contract):
    assert chunk_from_msg(fault_to_msg("the camera is dark", 400_000_000, small_contract, 6)) is None


@pytest.mark.parametrize("period_s", [float("nan"), float("inf"), float("-inf"), 1e305])
def test_period_that_is_not_finite_comes_as_zero(small_contract, period_s):
    message = chunk_to_msg(
        ActionChunk(300_000_000, small_contract.period_ns, ROWS, np.zeros(4, np.float32), 6), 0, small_contract, 0.0
    )
    message.period_s = period_s
    assert chunk_from_msg(message).period_ns == 0


@pytest.mark.parametrize("shape", [(28,), (4, 7)])
def test_tokens_survive(small_contract, shape):
    tokens = np.arange(100, 128).reshape(shape)
    chunk = ActionChunk(0, small_contract.period_ns, ROWS, np.zeros(4, np.float32), 6, tokens=tokens)
    message = chunk_to_msg(chunk, 0, small_contract, 0.0)
    assert list(message.tokens) == list(range(100, 128))
    found = chunk_from_msg(message).tokens
    assert found.dtype == np.int32 and found.tolist() == list(range(100, 128))


@pytest.mark.parametrize("tokens", [None, np.zeros(28, np.float32), np.arange(9), np.arange(28) - 1])
def test_a_chunk_without_a_token_for_each_value_is_sent_without_tokens(small_contract, tokens):
    chunk = ActionChunk(0, small_contract.period_ns, ROWS, np.zeros(4, np.float32), 6, tokens=tokens)
    message = chunk_to_msg(chunk, 0, small_contract, 0.0)
    assert not message.tokens
    again = chunk_from_msg(message)
    assert again.tokens is None
    np.testing.assert_array_equal(again.values, ROWS)


def test_tokens_that_do_not_fill_the_rows_are_dropped_and_nothing_else(small_contract):
    message = chunk_to_msg(
        ActionChunk(0, small_contract.period_ns, ROWS, np.zeros(4, np.float32), 6), 0, small_contract, 0.0
    )
    message.tokens = [1, 2, 3]
    again = chunk_from_msg(message)
    assert again.tokens is None
    np.testing.assert_array_equal(again.values, ROWS)
