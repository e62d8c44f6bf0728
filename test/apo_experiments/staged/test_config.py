"""Parameters of the study."""

from pathlib import Path

import pytest

from apo_core.config.parameters import load
from apo_core.errors import ConfigError
from apo_experiments.staged.config import CONFIG_FILE, SECTION, StagedConfig

ROOT = Path(__file__).parents[3]


def test_the_shipped_file_uses_no_seed_twice():
    config = load(StagedConfig, ROOT / CONFIG_FILE, SECTION, {})
    ranges = [
        config.seeds,
        range(config.interaction_seed, config.interaction_seed + config.interactions),
        # an expert that fails now and then takes further seeds
        range(config.demonstration_seed, config.demonstration_seed + 10 * config.demonstrations),
    ]
    assert len(set().union(*ranges)) == sum(map(len, ranges))
    assert max(seeds.stop for seeds in ranges) < 900_000
    assert (config.trial.trial_alpha, config.repetitions) == (0.05, 20)


def test_no_seed_from_900000_on_is_taken():
    assert StagedConfig(seed=899_990, episodes=10).seeds == range(899_990, 900_000)
    with pytest.raises(ConfigError) as caught:
        StagedConfig(seed=899_990, episodes=11, interaction_seed=899_999, interactions=2)
    assert caught.value.faults == [
        "interactions = 2: their seeds go to 900000, the last one allowed is 899999 (config/staged_study.yaml)",
        "episodes = 11: their seeds go to 900000, the last one allowed is 899999 (config/staged_study.yaml)",
        "seed = 899990: 2 of the recorded seeds are trained on, the first 899999 (config/staged_study.yaml)",
    ]
