"""What holds for every method."""

import pytest
import torch

from apo_trainer.config import METHOD_NAMES, TrainingConfig
from apo_trainer.data.sampler import ActionOf, balanced_sampler
from apo_trainer.data.samples import SampleClass, TrainingDataError
from apo_trainer.methods import METHODS, Terms

EPISODES = ("E" * 30, "PPPPPPUUUUUHHHHHH", "PPPPUUUUHHHHH")


def terms_of(data, draws, generator):
    """Random numbers in place of a model's."""
    size = len(draws)
    classes = tuple(data.train[draw.index].sample_class for draw in draws)
    return Terms(
        policy_logps=(-torch.rand(size, generator=generator) * 20).requires_grad_(),
        ref_logps=-torch.rand(size, generator=generator) * 20,
        desirable=torch.tensor([data.train[draw.index].desirable for draw in draws]),
        classes=classes,
        l1=torch.rand(size, generator=generator),
        edges=torch.zeros(size),
        token_counts=torch.full((size,), 7),
        kl_policy_logps=-torch.rand(2, generator=generator) * 20,
        kl_ref_logps=-torch.rand(2, generator=generator) * 20,
    )


def test_every_named_method_exists():
    assert set(METHOD_NAMES) == set(METHODS)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_a_batch_has_the_wanted_size_and_depends_on_seed_and_number_alone(name, training_data):
    data = training_data(*EPISODES)
    make = METHODS[name]
    first, second = (make(data, TrainingConfig(method=name, batch_size=16, seed=1)).sampler for _ in range(2))
    batches = [first.batch(step) for step in range(12)]
    assert [len(batch) for batch in batches] == [16] * 12
    assert [second.batch(step) for step in reversed(range(12))] == batches[::-1]
    other = make(data, TrainingConfig(method=name, batch_size=16, seed=2)).sampler
    assert other.batch(0) != batches[0]
    assert sum(first.counts.values()) == 16


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_the_loss_is_finite_and_its_gradient_reaches_the_policy_alone(name, training_data):
    data = training_data(*EPISODES)
    method = METHODS[name](data, TrainingConfig(method=name, batch_size=16))
    terms = terms_of(data, method.sampler.batch(3), torch.Generator().manual_seed(0))
    out = method.loss(terms)
    out.loss.backward()
    assert torch.isfinite(out.loss)
    assert torch.isfinite(terms.policy_logps.grad).all()
    assert terms.policy_logps.grad.abs().max() > 0
    assert out.weights.shape == out.values.shape == out.log_ratios.shape == (16,)
    assert not (out.weights.requires_grad or out.values.requires_grad or out.z0.requires_grad)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_without_any_sample_an_error_is_raised(name, training_data):
    with pytest.raises(TrainingDataError):
        METHODS[name](training_data(), TrainingConfig(method=name))


@pytest.mark.parametrize("name", ["apo", "apo_plus", "apo_reference_compat", "kto"])
def test_a_step_raises_the_desirable_and_lowers_the_undesirable(name, training_data, drawn):
    data = training_data(*EPISODES)
    method = METHODS[name](data, TrainingConfig(method=name, batch_size=16))
    draws = method.sampler.batch(0)
    terms = terms_of(data, draws, torch.Generator().manual_seed(0))
    method.loss(terms).loss.backward()
    lowered = (terms.policy_logps.grad > 0).tolist()
    assert lowered == [letter == "U" for letter in drawn(data, draws)]


@pytest.mark.parametrize("name", ["dagger", "sirius", "bc", "sft"])
def test_cloning_lowers_nothing(name, training_data):
    data = training_data(*EPISODES)
    method = METHODS[name](data, TrainingConfig(method=name, batch_size=16))
    terms = terms_of(data, method.sampler.batch(0), torch.Generator().manual_seed(0))
    method.loss(terms).loss.backward()
    assert terms.policy_logps.grad.max() <= 0


def test_shadow_actions_take_their_part_of_the_undesirable_share(training_data):
    data = training_data("E" * 30, "PPPPPPUUUUUHHHHHH", "PPPPUUUUHHHHH")
    config = TrainingConfig(batch_size=16, shadow_share=0.5)
    draws = balanced_sampler(data.train, config).batch(2)
    assert [data.train[draw.index].sample_class for draw in draws].count(SampleClass.HUMAN) == 6
    shadows = [draw for draw in draws if draw.action is ActionOf.SHADOW]
    assert len(shadows) == 2 and all(data.train[draw.index].sample_class is SampleClass.HUMAN for draw in shadows)
    assert not any(draw.action is ActionOf.SHADOW for draw in balanced_sampler(data.train, TrainingConfig()).batch(2))
