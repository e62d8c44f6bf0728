"""Features of draws: computed once, whatever they are computed with, and read ahead by threads."""

import pytest
import torch

from apo_episodes.labeling import LabelRule
from apo_trainer.data.dataset import load_training_data
from apo_trainer.data.features import FeatureSettings, FeatureStore, fixed_batches
from apo_trainer.data.sampler import Draw
from apo_vla.policy import VlaPolicy


@pytest.fixture
def store_of(tiny_model, interactions, contract):
    """Makes a store; its policy counts the batches that go through the vision part."""
    policy = VlaPolicy(*tiny_model)
    paths = sorted(interactions.glob("*.h5"))
    samples = load_training_data(paths, LabelRule(undesirable_steps=3), policy.chunk, 0.0, contract.sha256).train
    calls = []
    compute = policy.features
    policy.features = lambda batch: calls.append(len(batch.images)) or compute(batch)

    def make(**changes):
        return FeatureStore(policy, samples, FeatureSettings(**{"seed": 0, **changes})), calls

    return make


def features(store, *draws):
    return torch.stack([one.features for one in store.inputs(draws)])


def test_batches_are_filled_up_to_a_fixed_size():
    assert list(fixed_batches([])) == []
    assert list(fixed_batches([1, 2, 3])) == [([1, 2, 3, 1, 1, 1, 1, 1], 3)]
    assert [count for _, count in fixed_batches(list(range(17)))] == [8, 8, 1]


def test_each_view_of_a_sample_goes_through_the_model_once(store_of):
    store, calls = store_of(views=2)
    store.inputs([Draw(0, 0), Draw(1, 0), Draw(0, 0)])
    assert len(calls) == 1
    store.inputs([Draw(1, 0), Draw(0, 0)])
    assert len(calls) == 1
    store.inputs([Draw(0, 1)])
    assert len(calls) == 2


def test_a_value_does_not_depend_on_what_it_was_computed_with(store_of):
    together = features(store_of(views=3)[0], *(Draw(i, i % 3) for i in range(11)))
    alone = torch.cat([features(store_of(views=3)[0], Draw(i, i % 3)) for i in range(11)])
    assert torch.equal(together, alone)


def test_without_memory_nothing_is_kept_and_nothing_changes(store_of):
    store, calls = store_of(cache_mb=0)
    first, again = features(store, Draw(0, 0)), features(store, Draw(0, 0))
    assert len(calls) == 2
    assert torch.equal(first, again)


def test_workers_change_no_value(store_of):
    draws = [Draw(i, 1) for i in range(6)]
    store, _ = store_of(views=2, workers=2)
    store.prefetch(draws)
    store.prefetch(draws)
    ahead = features(store, *draws)
    store.close()
    assert torch.equal(ahead, features(store_of(views=2)[0], *draws))


def test_what_a_worker_could_not_read_is_reported_where_it_is_needed(store_of, interactions):
    store, _ = store_of(workers=1)
    for path in interactions.glob("*.h5"):
        path.unlink()
    store.prefetch([Draw(0, 0)])
    with pytest.raises(Exception, match=r"\.h5"):
        store.inputs([Draw(0, 0)])
    store.close()


def test_a_view_is_named_by_seed_and_number_only_where_there_are_several(store_of):
    plain, _ = store_of()
    seeded, _ = store_of(views=2, seed=5)
    sample = plain.view_name(Draw(3, 0)).rsplit(":", 1)[0]
    assert plain.view_name(Draw(3, 0)) == f"{sample}:centre"
    assert seeded.view_name(Draw(3, 1)) == f"{sample}:5:1"
