import pytest

from apo_trainer.optimisation.learning_rates import warmup_cosine


def test_it_rises_linearly_and_falls_by_half_a_cosine():
    assert [warmup_cosine(step, 4, 104) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert warmup_cosine(4, 4, 104) == 1.0
    assert warmup_cosine(54, 4, 104, end=0.1) == pytest.approx(0.55)
    assert warmup_cosine(104, 4, 104, end=0.1) == pytest.approx(0.1)


def test_without_warmup_the_first_step_has_the_whole_rate():
    assert warmup_cosine(0, 0, 10) == 1.0
