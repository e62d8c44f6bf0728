"""Balanced batches: exact shares, determinism, empty and short classes."""

from collections import Counter
from types import SimpleNamespace

import pytest

from apo_trainer.config import TrainingConfig
from apo_trainer.data.sampler import PoolSampler, balanced_over_robots, balanced_sampler, batch_counts
from apo_trainer.data.samples import Sample, SampleClass, TrainingDataError

E, P, H, U = SampleClass.EXPERT, SampleClass.POLICY, SampleClass.HUMAN, SampleClass.UNDESIRABLE
SHARES = {E: 0.5, H: 0.25, U: 0.25}


def samples(expert=0, policy=0, human=0, undesirable=0, robot=""):
    sizes, episode = {E: expert, P: policy, H: human, U: undesirable}, SimpleNamespace(robot=robot)
    return [Sample(episode, step, name) for name, size in sizes.items() for step in range(size)]


def balanced(pool, batch_size, seed=0, views=1, **shares):
    return balanced_sampler(pool, TrainingConfig(batch_size=batch_size, seed=seed, views=views, **shares))


def classes(pool, draws):
    return Counter(str(pool[draw.index].sample_class) for draw in draws)


def test_batch_counts_are_exact():
    assert batch_counts(16, SHARES) == {E: 8, H: 4, U: 4}


def test_batch_counts_of_an_uneven_batch_add_up_by_largest_remainder():
    assert batch_counts(10, {E: 0.5, H: 0.3, U: 0.2}) == {E: 5, H: 3, U: 2}
    assert batch_counts(7, SHARES) == {E: 3, H: 2, U: 2}
    assert sum(batch_counts(1, SHARES).values()) == 1


def test_every_batch_has_the_exact_shares():
    pool = samples(expert=101, policy=50, human=17, undesirable=9)
    sampler = balanced(pool, 16, seed=0)
    for step in range(50):
        assert classes(pool, sampler.batch(step)) == {"EXPERT": 8, "HUMAN": 4, "UNDESIRABLE": 4}


def test_desirable_policy_steps_can_have_a_share():
    pool = samples(expert=20, policy=20, human=20, undesirable=20)
    sampler = balanced(pool, 8, policy_share=0.5)
    assert classes(pool, sampler.batch(3)) == {"EXPERT": 2, "POLICY": 2, "HUMAN": 2, "UNDESIRABLE": 2}


def test_a_class_is_used_up_before_it_repeats_and_then_takes_the_next_view():
    pool = samples(expert=8, human=4, undesirable=4)
    sampler = balanced(pool, 4, seed=3, views=2)
    draws = [d for step in range(8) for d in sampler.batch(step) if pool[d.index].sample_class is H]
    assert sorted(d.index for d in draws[:4]) == sorted(d.index for d in draws[4:]) == [8, 9, 10, 11]
    assert [d.view for d in draws] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_batches_depend_on_seed_and_number_alone():
    pool = samples(expert=30, human=10, undesirable=10)
    first, second = balanced(pool, 8, seed=1), balanced(pool, 8, seed=1)
    forward = [first.batch(step) for step in range(20)]
    backward = [second.batch(step) for step in reversed(range(20))]
    assert forward == backward[::-1]
    assert balanced(pool, 8, seed=2).batch(0) != forward[0]


def robots(pool, sampler, steps):
    """How often each robot's human samples are drawn."""
    draws = [pool[draw.index] for step in range(steps) for draw in sampler.batch(step)]
    return Counter(sample.episode.robot for sample in draws if sample.sample_class is H)


def test_robots_with_few_episodes_are_drawn_as_often_as_the_others():
    pool = [
        *samples(expert=20, human=60, undesirable=60, robot="left"),
        *samples(human=20, undesirable=10, robot="right"),
    ]
    sampler = balanced(pool, 8)
    assert robots(pool, sampler, 60) == {"left": 60, "right": 60}
    assert sampler.notes == ["interactions are balanced over 2 robots: 'left', 'right'"]
    alone = balanced(pool, 8, balance_robots=False)
    assert robots(pool, alone, 40) == {"left": 60, "right": 20} and alone.notes == []


def test_a_robots_samples_repeat_eight_times_at_most():
    pool = [*samples(human=90, robot="left"), *samples(human=1, robot="right")]
    assert Counter(balanced_over_robots(range(91), pool))[90] == 8
    assert balanced_over_robots([], pool) == []


def test_an_empty_class_gives_its_share_to_the_others_in_proportion():
    pool = samples(expert=30, human=10)
    sampler = balanced(pool, 12, seed=0)
    assert classes(pool, sampler.batch(0)) == {"EXPERT": 8, "HUMAN": 4}
    assert sampler.notes == ["no UNDESIRABLE sample: its share went to the others"]


def test_without_demonstrations_the_interactions_fill_the_batch():
    pool = samples(human=10, undesirable=10)
    assert classes(pool, balanced(pool, 12, seed=0).batch(0)) == {"HUMAN": 6, "UNDESIRABLE": 6}


def test_short_class_repeats_within_a_batch_with_a_note():
    pool = samples(expert=30, human=10, undesirable=1)
    sampler = balanced(pool, 16, seed=0)
    assert classes(pool, sampler.batch(0)) == {"EXPERT": 8, "HUMAN": 4, "UNDESIRABLE": 4}
    assert sampler.notes == ["1 UNDESIRABLE samples for 4 a batch: they repeat within a batch"]


def test_without_any_takeover_there_is_nothing_to_prefer():
    with pytest.raises(TrainingDataError, match="no operator took over in the episodes to train on"):
        balanced(samples(expert=30, policy=30), 16, seed=0)


def test_no_sample_at_all_is_an_error():
    with pytest.raises(TrainingDataError, match="no sample to train on: 0 EXPERT, 0 POLICY, 0 HUMAN, 0 UNDESIRABLE"):
        balanced([], 16)


def test_shares_come_from_the_configuration():
    pool = samples(expert=30, human=30, undesirable=30)
    sampler = balanced(pool, 10, share_expert=0.2, share_human=0.3, share_undesirable=0.5)
    assert classes(pool, sampler.batch(0)) == {"EXPERT": 2, "HUMAN": 3, "UNDESIRABLE": 5}


def test_a_pool_may_hold_anything_and_is_drawn_in_its_place():
    sampler = PoolSampler({"first": [7, 8], "second": [9]}, {"first": 0.5, "second": 0.5}, 2, seed=0)
    assert sampler.counts == {"first": 1, "second": 1}
    assert [draw.index for step in range(2) for draw in sampler.batch(step)][1::2] == [9, 9]
    assert {sampler.batch(step)[0].index for step in range(2)} == {7, 8}


def test_a_pool_without_a_share_is_not_drawn_from():
    sampler = PoolSampler({"first": [7], "second": [9]}, {"first": 1.0}, 3, seed=0)
    assert [draw.index for draw in sampler.batch(0)] == [7, 7, 7]
