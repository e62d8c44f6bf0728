"""Calibrations of requests for help."""

import dataclasses
from pathlib import Path
from typing import Any

from apo_core.adapters.calibration import HelpCalibration, PolicyIdentity
from apo_core.adapters.calibration_file import identity, write_calibration
from apo_core.adapters.signature import SigningKey
from apo_core.adapters.store import AdapterStore
from apo_core.help.score import HelpScore, Weight

POLICY = PolicyIdentity(3, "1" * 64, "a" * 64, "b" * 64, "c" * 64)
CALIBRATION = HelpCalibration(
    POLICY,
    replan_steps=2,
    action_horizon=0,
    score=HelpScore({"entropy": Weight(2.0, 0.5, 1.25)}, -1.0, 0.75),
    false_alarms=0.1,
    horizon_s=2.0,
    measures={"calibrated": {"auroc": [0.9, 0.8, 0.95]}},
    created_utc="2026-01-02T03:04:05+00:00",
)


def calibrate(store: AdapterStore, number: int, key: SigningKey | None = None, **changes: Any) -> Path:
    """Writes a calibration for an adapter of `adapter_samples.MANIFEST`, or for its base policy; returns the file."""
    policy = identity(store, number, "a" * 64, "b" * 64, "c" * 64)
    return write_calibration(store.path, dataclasses.replace(CALIBRATION, **{"policy": policy, **changes}), key)
