"""Measuring a policy in the simulation."""

from pathlib import Path

import numpy as np
from adapter_samples import plain_manifest

from apo_core.adapters.store import AdapterStore
from apo_core.contract.specs import Limits
from apo_experiments.failures import FailureKind
from apo_experiments.rollouts import Adapter, RolloutResult, RolloutSettings, evaluate_policy, within_limits
from apo_vla.lora.adapter import LoraSettings, adapter_config, lora_state
from apo_vla.policy import VlaPolicy

ROOT = Path(__file__).parents[2]
LIFT_BASE = ROOT / "models" / "lift_base"
LIMITS = Limits(1.0, 2.0, (-1.0, -1.0, 0.0), (1.0, 1.0, 2.0))


def test_speeds_are_shortened_to_the_limits_in_their_direction():
    action = np.array([3.0, 0.0, 4.0, 0.0, 4.0, 0.0, 1.0])
    np.testing.assert_allclose(within_limits(action, LIMITS), [0.6, 0.0, 0.8, 0.0, 2.0, 0.0, 1.0], rtol=1e-6)
    assert action[0] == 3.0
    slow = np.array([0.3, 0.0, 0.4, 0.0, 1.0, 0.0, -1.0], dtype=np.float32)
    np.testing.assert_array_equal(within_limits(slow, LIMITS), slow)


def test_an_adapter_is_measured_in_place_of_the_base_policy(tmp_path):
    policy = VlaPolicy.load(LIFT_BASE, lora=LoraSettings(rank=2, alpha=4.0))
    manifest = plain_manifest(policy)
    config = adapter_config(LoraSettings(rank=2, alpha=4.0))
    version = AdapterStore(tmp_path).publish(lora_state(policy.model), config, manifest).number
    settings = RolloutSettings("Lift", "lift the red cube", str(ROOT / "config" / "contract.yaml"), 4, 5)
    results = evaluate_policy(LIFT_BASE, settings, [7], workers=1, adapter=Adapter(str(tmp_path), version))
    assert results == [RolloutResult(7, False, 4, FailureKind.NEVER_CLOSED)]
