"""The aggregate of demonstrations and takeovers, and demonstrations alone."""

import pytest

from apo_trainer.config import TrainingConfig
from apo_trainer.data.samples import TrainingDataError
from apo_trainer.methods.bc import BehaviourCloning
from apo_trainer.methods.dagger import Dagger


def test_dagger_draws_every_expert_and_human_step_once_before_it_repeats(training_data, drawn):
    data = training_data("E" * 6, "PPUUHH")
    sampler = Dagger(data, TrainingConfig(batch_size=4)).sampler
    assert sorted(drawn(data, sampler.batch(0) + sampler.batch(1))) == sorted("EEEEEEHH")


def test_behaviour_cloning_draws_demonstrations_alone(training_data, drawn):
    data = training_data("E" * 6, "PPUUHH")
    assert drawn(data, BehaviourCloning(data, TrainingConfig(batch_size=4)).sampler.batch(0)) == "EEEE"
    with pytest.raises(TrainingDataError, match="no sample to train on: 0 EXPERT"):
        BehaviourCloning(training_data("PPUUHH"), TrainingConfig())
