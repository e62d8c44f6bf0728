"""The guard that ends a run early."""

import pytest

from apo_trainer.config import TrainingConfig
from apo_trainer.optimisation.guard import Guard


def guard(**changes) -> Guard:
    return Guard(TrainingConfig(**{"guard_window": 3, "guard_undesirable_nats": -2.0, **changes}))


def test_mean_below_limit_ends_run_once_window_is_full():
    made = guard()
    made.add(-5.0, None)
    made.add(-1.0, None)
    assert made.stop_reason() == ""
    made.add(-3.0, None)
    assert made.stop_reason() == (
        "the undesirable log-ratio fell to -3.0 nats over 3 steps, below guard_undesirable_nats = -2 "
        "(config/trainer.yaml)"
    )


def test_only_last_window_counts():
    made = guard()
    for value in (-100.0, -1.0, -1.0, -1.0):
        made.add(value, None)
    assert made.stop_reason() == ""


@pytest.mark.parametrize(("target", "stops"), [(0.0, False), (1.5, True), (2.0, False)])
def test_run_ends_where_z0_exceeds_its_target(target, stops):
    made = guard(target_kl=target)
    for value in (1.0, 2.0, 3.0):
        made.add(None, value)
    assert bool(made.stop_reason()) == stops


def test_restored_windows_go_on():
    first, second = guard(), guard()
    first.add(-3.0, 0.5)
    first.add(-3.0, 0.5)
    second.restore(first.undesirable, first.z0)
    second.add(-3.0, 0.5)
    assert second.undesirable == (-3.0, -3.0, -3.0)
    assert second.z0 == (0.5, 0.5, 0.5)
    assert "fell to -3.0 nats" in second.stop_reason()
