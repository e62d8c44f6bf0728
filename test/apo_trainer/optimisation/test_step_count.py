"""How many optimizer steps a run takes."""

import pytest

from apo_trainer.config import METHOD_NAMES, TrainingConfig
from apo_trainer.methods import METHODS
from apo_trainer.optimisation.step_count import planned_steps

EPISODES = ("E" * 60, "P" * 10 + "U" * 40 + "H" * 24)


def planned(data, method="apo", **changes):
    config = TrainingConfig(
        **{"method": method, "steps": 0, "passes": 2.0, "min_steps": 1, "batch_size": 16, **changes}
    )
    return planned_steps(config, METHODS[method](data, config).sampler)


def test_a_fixed_number_wins(training_data):
    assert planned(training_data(*EPISODES), steps=7) == 7


@pytest.mark.parametrize(
    ("method", "steps"),
    [
        ("apo", 16),  # 2 * (24 + 40) / 8
        ("kto", 16),
        ("tpo", 11),  # 2 * (24 + 40) / 12: two pairs of windows, one preferred window is an expert's
        ("dpo", 12),  # 2 * 24 / 4
        ("dagger", 11),  # 2 * 84 / 16
        ("sirius", 12),  # 2 * 94 / 16
        ("bc", 8),  # 2 * 60 / 16
        ("sft", 8),
    ],
)
def test_it_is_so_many_passes_over_what_is_scarce(training_data, method, steps):
    assert planned(training_data(*EPISODES), method) == steps


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_every_method_has_a_number(training_data, method):
    assert 30 <= planned(training_data(*EPISODES), method, min_steps=30) <= 200


def test_it_has_a_least_and_a_most(training_data):
    data = training_data(*EPISODES)
    assert planned(data, min_steps=30) == 30
    assert planned(data, max_steps=12) == 12


def test_part_of_a_step_is_a_step(training_data):
    assert planned(training_data("H" * 5 + "U" * 4), batch_size=4, passes=1.0) == 3


def test_a_batch_without_room_for_them_counts_what_it_has(training_data):
    assert planned(training_data(*EPISODES), batch_size=1, passes=1.0) == 60
