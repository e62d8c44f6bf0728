"""A calibration of requests for help."""

from apo_core.adapters.calibration import HelpCalibration, PolicyIdentity
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
