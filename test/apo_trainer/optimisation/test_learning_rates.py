"""The learning rate of each step."""

import pytest

from apo_trainer.config import TrainingConfig
from apo_trainer.optimisation.learning_rates import learning_rate, warmup_cosine


def test_it_rises_linearly_and_falls_by_half_a_cosine():
    assert [warmup_cosine(step, 4, 104) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert warmup_cosine(4, 4, 104) == 1.0
    assert warmup_cosine(54, 4, 104, end=0.1) == pytest.approx(0.55)
    assert warmup_cosine(104, 4, 104, end=0.1) == pytest.approx(0.1)


def test_without_warmup_the_first_step_has_the_whole_rate():
    assert warmup_cosine(0, 0, 10) == 1.0


def test_the_rate_warms_up_and_falls_to_its_end():
    settings = TrainingConfig(learning_rate=1.0, warmup_steps=10, learning_rate_end=0.2)
    rates = [learning_rate(step, settings, 110) for step in (0, 9, 10, 60, 110)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.6, 0.2])
