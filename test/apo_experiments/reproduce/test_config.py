"""Parameters of a reproduction."""

from pathlib import Path

import pytest

from apo_core.config.parameters import load
from apo_core.errors import ConfigError
from apo_experiments.reproduce.config import BUDGETS, SECTION, ReproduceConfig, config_file

ROOT = Path(__file__).parents[3]


def test_every_fault_is_reported():
    with pytest.raises(ConfigError) as caught:
        ReproduceConfig(tasks=("Lift", "Lift"), methods=("apo", "magic"), lifelong_methods=())
    assert caught.value.faults == [
        f"{fault} (config/reproduce_*.yaml)"
        for fault in (
            "methods: 'magic' is none of apo, apo_plus, apo_reference_compat, kto, dpo, rpro, tpo, dagger, sirius, bc, "
            "sft",
            "tasks = ['Lift', 'Lift'] must name at least one, each once",
            "lifelong_methods = [] must name at least one, each once",
        )
    ]


@pytest.mark.parametrize("budget", BUDGETS)
def test_no_seed_of_a_budget_is_used_twice(budget):
    config = load(ReproduceConfig, ROOT / config_file(budget), SECTION, {})
    ranges = [
        range(
            config.interaction_seed, config.interaction_seed + max(config.interactions, config.perturbed_interactions)
        ),
        # an expert that fails now and then takes further seeds
        range(config.demonstration_seed, config.demonstration_seed + 10 * config.demonstrations),
        range(config.evaluation_seed, config.evaluation_seed + config.evaluation_episodes),
        range(config.lifelong_seed, config.lifelong_seed + config.rounds * config.rollouts),
    ]
    assert len(set().union(*ranges)) == sum(map(len, ranges))
    assert max(seeds.stop for seeds in ranges) < 900_000


def test_the_papers_budget_has_its_tasks_and_numbers():
    config = load(ReproduceConfig, ROOT / config_file("paper"), SECTION, {})
    assert config.tasks == ("Coffee", "StackThree", "ThreePieceAssembly", "Square")
    assert (config.interactions, config.perturbed_interactions, config.perturbed_demonstrations) == (50, 20, 20)
    assert (config.rounds, config.rollouts) == (5, 20)
