"""The running mean of the weights."""

import pytest
from parameter_values import put

from apo_trainer.optimisation.weight_mean import WeightMean


def test_the_mean_follows_faster_in_the_first_steps(parameter):
    mean = WeightMean({"w": parameter}, 0.9)
    put(parameter, 11.0, -12.0)
    mean.add(0)  # keeps (1 + 0) / (10 + 0) = 0.1
    assert mean.tensors["w"].tolist() == pytest.approx([10.0, -11.0])
    put(parameter, 0.0, 0.0)
    mean.add(1)  # keeps 2 / 11
    assert mean.tensors["w"].tolist() == pytest.approx([20 / 11, -2.0])
    assert parameter.tolist() == [0.0, 0.0]


def test_it_never_keeps_more_than_the_decay(parameter):
    mean = WeightMean({"w": parameter}, 0.5)
    put(parameter, 3.0, 0.0)
    mean.add(1000)
    assert mean.tensors["w"].tolist() == pytest.approx([2.0, -1.0])


def test_the_parameters_become_their_mean(parameter):
    mean = WeightMean({"w": parameter}, 0.5)
    put(parameter, 3.0, 0.0)
    mean.add(1000)
    mean.take()
    assert parameter.tolist() == pytest.approx([2.0, -1.0])
    assert parameter.requires_grad


def test_the_parameters_are_their_mean_for_a_while(parameter):
    mean = WeightMean({"w": parameter}, 0.5)
    put(parameter, 3.0, 0.0)
    mean.add(1000)
    with pytest.raises(ZeroDivisionError), mean.active():
        assert parameter.tolist() == pytest.approx([2.0, -1.0])
        _ = 1 / 0
    assert parameter.tolist() == [3.0, 0.0]


def test_what_is_taken_is_a_copy(parameter):
    mean = WeightMean({"w": parameter}, 0.5)
    mean.take()
    put(parameter, 9.0, 9.0)
    assert mean.tensors["w"].tolist() == [1.0, -2.0]


def test_without_a_decay_nothing_is_kept_or_changed(parameter):
    mean = WeightMean({"w": parameter}, 0.0)
    put(parameter, 3.0, 0.0)
    mean.add(0)
    mean.take()
    assert mean.tensors == {} and parameter.tolist() == [3.0, 0.0]


def test_a_run_ends_with_the_mean_of_its_weights(trainer_of):
    plain, averaged = trainer_of(ema_decay=0.0), trainer_of(ema_decay=0.9)
    assert [m.loss for m in averaged.steps()] == [m.loss for m in plain.steps()]
    last = averaged.adapter()
    assert all((last[name] == value).all() for name, value in plain.adapter().items())
    averaged.finish()
    assert any((averaged.adapter()[name] != value).any() for name, value in last.items())
    plain.finish()
    assert all((plain.adapter()[name] == value).all() for name, value in last.items())
