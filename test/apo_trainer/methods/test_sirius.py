"""Weights by class."""

import pytest
import torch

from apo_trainer.config import TrainingConfig
from apo_trainer.data.samples import SampleClass, TrainingDataError
from apo_trainer.methods import Terms
from apo_trainer.methods.sirius import Sirius, class_weights

E, P, H, U = SampleClass.EXPERT, SampleClass.POLICY, SampleClass.HUMAN, SampleClass.UNDESIRABLE


def test_weights_raise_interventions_to_half_and_drop_steps_before_them():
    # P = (0.2, 0.6, 0.1, 0.1), P* = (0.2, 0.3, 0.5, 0)
    weights = class_weights({E: 20, P: 60, H: 10, U: 10})
    assert weights == pytest.approx({E: 1.0, P: 0.5, H: 5.0, U: 0.0})


def test_demonstrations_beyond_a_half_are_cut_to_it():
    # P = (0.75, 0.15, 0.1, 0), P* = (0.5, 0, 0.5, 0)
    assert class_weights({E: 75, P: 15, H: 10, U: 0}) == pytest.approx({E: 2 / 3, P: 0.0, H: 5.0, U: 0.0})


def test_a_missing_class_gives_its_share_to_the_others():
    # P = (0.4, 0.6), P* = (0.4, 0.1) of 0.5
    assert class_weights({E: 40, P: 60, H: 0, U: 0}) == pytest.approx({E: 2.0, P: 1 / 3, H: 0.0, U: 0.0})
    assert class_weights({E: 0, P: 0, H: 0, U: 9}) == {E: 0.0, P: 0.0, H: 0.0, U: 0.0}


def test_the_loss_weights_rows_by_their_class(training_data):
    method = Sirius(training_data("E" * 20, "P" * 60, "H" * 10 + "U" * 10), TrainingConfig())
    zeros = torch.zeros(3)
    terms = Terms(
        policy_logps=torch.tensor([-7.0, -14.0, -21.0]),
        ref_logps=zeros,
        desirable=torch.ones(3, dtype=torch.bool),
        classes=(E, P, H),
        l1=zeros,
        edges=zeros,
        token_counts=torch.full((3,), 7),
        kl_policy_logps=torch.zeros(0),
        kl_ref_logps=torch.zeros(0),
    )
    out = method.loss(terms)
    assert out.weights.tolist() == pytest.approx([1.0, 0.5, 5.0])
    # (1 * 7 + 0.5 * 14 + 5 * 21) / (6.5 * 7)
    assert out.loss.item() == pytest.approx(119 / 45.5)


def test_undesirable_steps_are_not_drawn(training_data, drawn):
    data = training_data("EE", "PPUUUUHH")
    assert sorted(drawn(data, Sirius(data, TrainingConfig(batch_size=6)).sampler.batch(0))) == sorted("EEPPHH")


def test_undesirable_steps_alone_have_zero_weight_and_nothing_to_draw(training_data):
    with pytest.raises(TrainingDataError):
        Sirius(training_data("UUU"), TrainingConfig())
