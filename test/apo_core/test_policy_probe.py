"""The probe separates a policy that uses its images and answers finitely from one that does not."""

from pathlib import Path

import numpy as np
import pytest

from apo_core import policy_probe
from apo_core.contract.contract import load_contract
from apo_core.types import ActionChunk

CONTRACT = load_contract(Path(__file__).parents[2] / "config" / "contract.yaml")


class Policy:
    """Called as `predict`: actions follow the brightness of the image, times a gain."""

    def __init__(self, gain: float = 1.0, log_prob: float = -1.0):
        self.gain, self.log_prob = gain, log_prob

    def __call__(self, observation):
        CONTRACT.check_observation(observation)
        level = float(np.mean(next(iter(observation.images.values())))) * self.gain
        values = np.full((2, 7), level, np.float32)
        return ActionChunk(
            observation.stamp_ns, CONTRACT.period_ns, values, np.full(2, self.log_prob, np.float32), adapter_version=0
        )


class Broken:
    def __call__(self, observation):
        raise ValueError("no such key")


def test_a_policy_that_looks_passes():
    assert policy_probe.faults(Policy(), CONTRACT, "lift") == []


@pytest.mark.parametrize(
    ("policy", "fault"),
    [
        (Policy(gain=0.0), "does not look at its images"),
        (Policy(gain=float("inf")), "not finite"),
        (Policy(log_prob=float("nan")), "not finite"),
        (Broken(), "inference failed: ValueError: no such key"),
    ],
)
def test_a_policy_that_does_not_is_reported(policy, fault):
    assert fault in policy_probe.faults(policy, CONTRACT, "lift")[0]


def test_the_same_policy_agrees_with_its_record():
    recorded = policy_probe.record(Policy(), CONTRACT, "lift")

    assert recorded["values"] == [[255.0] * 7] * 2
    assert policy_probe.faults(Policy(), CONTRACT, "lift", recorded) == []


def test_another_policy_does_not():
    recorded = policy_probe.record(Policy(), CONTRACT, "lift")

    assert "0% of the values agree" in policy_probe.faults(Policy(gain=0.5), CONTRACT, "lift", recorded)[0]


def test_a_record_of_another_probe_is_not_compared():
    assert policy_probe.faults(Policy(), CONTRACT, "lift", {"probe": "other", "values": [[9.0]]}) == []
