"""Probes a policy with two fixed observations: finite answers that depend on the image and agree with the record.

A policy that ignores its images answers both alike, down to the last bit of the log-probabilities (seen with OpenVLA's
remote code on newer transformers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from apo_core.contract.contract import Contract
from apo_core.types import ActionChunk, Observation

PROBE = "black_and_white.1"  # changes when the probe observations do
# another processor may break a near tie of two bins the other way, and later tokens follow it
MIN_AGREEMENT = 0.75

Predict = Callable[[Observation], ActionChunk]


def probe_observations(contract: Contract, instruction: str) -> tuple[Observation, Observation]:
    """A black and a white observation of the contract's shapes; state zero, quaternions the identity."""
    state = {spec.name: np.zeros(spec.size, np.float32) for spec in contract.state}
    for spec in contract.state:
        if spec.type == "geometry_msgs/msg/PoseStamped":
            state[spec.name][-1] = 1.0
    black, white = (
        Observation(
            stamp_ns=contract.period_ns,
            images={spec.name: np.full(spec.shape, level, spec.dtype) for spec in contract.images},
            state=state,
            instruction=instruction,
        )
        for level in (0, 255)
    )
    return black, white


def record(predict: Predict, contract: Contract, instruction: str) -> dict[str, Any]:
    """A policy's answer to the probe, as plain JSON data for an adapter's manifest."""
    chunk = predict(probe_observations(contract, instruction)[1])
    return {"probe": PROBE, "instruction": instruction, "values": np.asarray(chunk.values, np.float64).tolist()}


def faults(
    predict: Predict, contract: Contract, instruction: str, recorded: Mapping[str, Any] | None = None
) -> list[str]:
    """Everything wrong with a policy's answers to the probe; empty when it may serve.

    Args:
        predict: of the policy.
        contract: of the robot.
        instruction: of the probe.
        recorded: what `record` returned where the policy was trained; a record of another probe is not compared.
    """
    chunks = []
    for observation in probe_observations(contract, instruction):
        try:
            chunk = predict(observation)
        except Exception as error:
            return [f"self-test: inference failed: {type(error).__name__}: {error}"]
        if not np.isfinite(chunk.values).all() or not np.isfinite(chunk.log_probs).all():
            return ["self-test: actions or log-probabilities are not finite"]
        chunks.append(chunk)
    black, white = chunks
    if np.array_equal(black.values, white.values) and np.array_equal(black.log_probs, white.log_probs):
        return ["self-test: a black and a white image give the same answer, so the policy does not look at its images"]
    if recorded is None or recorded.get("probe") != PROBE:
        return []
    return _differences(predict, contract, recorded)


def _differences(predict: Predict, contract: Contract, recorded: Mapping[str, Any]) -> list[str]:
    try:
        expected = np.asarray(recorded["values"], np.float64)
        again = str(recorded["instruction"])
    except (KeyError, TypeError, ValueError) as error:
        return [f"self-test: the record in the manifest cannot be read: {error!r}"]
    values = np.asarray(predict(probe_observations(contract, again)[1]).values, np.float64)
    if values.shape != expected.shape:
        return [f"self-test: the policy answers with shape {values.shape}, its trainer recorded {expected.shape}"]
    share = float(np.mean(np.isclose(values, expected, rtol=1e-3, atol=1e-4)))
    if share < MIN_AGREEMENT:
        return [
            f"self-test: {share:.0%} of the values agree with the trainer's record, at least {MIN_AGREEMENT:.0%} must"
        ]
    return []
