"""The weights of a run that were judged best."""

import math

import pytest
from parameter_values import put

from apo_trainer.evaluation.gate import GOALS
from apo_trainer.optimisation.best_weights import BestWeights


def test_the_least_error_is_taken(parameter):
    best = BestWeights({"w": parameter})
    for step, error in ((20, 0.4), (40, 0.2), (60, 0.3), (80, math.nan)):
        put(parameter, float(step), 0.0)
        best.offer(step, error)
    assert (best.step, best.error) == (40, 0.2)
    assert parameter.tolist() == [80.0, 0.0]
    best.take()
    assert parameter.tolist() == [40.0, 0.0] and parameter.requires_grad


def test_where_nothing_was_judged_the_parameters_stay(parameter):
    best = BestWeights({"w": parameter})
    best.offer(20, math.nan)
    best.take()
    assert best.step == 0 and parameter.tolist() == [1.0, -2.0]


def error_of(trainer) -> float:
    """Pooled over what is held out of the goals."""
    means = [mean for name, mean in trainer.held_out().means.items() if name in GOALS]
    return sum(mean.l1 * mean.samples for mean in means) / sum(mean.samples for mean in means)


def test_the_adapter_of_a_run_has_the_weights_of_the_least_held_out_error(trainer_of):
    settings = {"steps": 12, "ema_decay": 0.0, "learning_rate": 0.01}
    trainer = trainer_of(judge_every=0, **settings)
    errors = {metrics.step: error_of(trainer) for metrics in trainer.steps()}
    assert min((3, 6, 9, 12), key=errors.get) == 6
    trainer.finish()
    assert error_of(trainer) == pytest.approx(errors[12])
    assert not any("the adapter has the weights" in note for note in trainer.notes)

    judged = trainer_of(judge_every=3, **settings)
    list(judged.steps())
    judged.finish()
    assert error_of(judged) == pytest.approx(errors[6], abs=1e-5)
    note = f"the adapter has the weights after step 6 of 12: held-out L1 error {errors[6]:.4f}, at the end "
    assert any(text.startswith(note) for text in judged.notes)
