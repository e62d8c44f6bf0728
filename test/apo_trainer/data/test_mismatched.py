"""Mismatched actions: of another sample, fixed, and distributed as the batches are."""

from collections import Counter

from apo_trainer.data.mismatched import MismatchedActions
from apo_trainer.data.sampler import Draw
from apo_trainer.data.samples import Sample, SampleClass


class Episode:
    fingerprint = "f"


class Sampler:
    """Batches of four: sample 0 twice, then two of the others in turn."""

    def batch(self, step):
        return [Draw(0, 0), Draw(0, 0), Draw(1 + step % 9, 0), Draw(1 + (step + 1) % 9, 0)]


SAMPLES = [Sample(Episode(), step, SampleClass.EXPERT) for step in range(40)]


def chosen(draws, count=0, seed=0):
    return MismatchedActions(Sampler(), SAMPLES, 100, seed).pairs(draws, count)


def test_rows_are_spread_evenly_and_ascend():
    draws = [Draw(i, 0) for i in range(16)]
    assert chosen(draws, 4)[0] == [0, 4, 8, 12]
    assert chosen(draws[:3], 8)[0] == [0, 1, 2]
    assert chosen(draws[:3])[0] == [0, 1, 2]


def test_the_action_is_never_the_samples_own_and_always_the_same():
    draws = [Draw(i, 0) for i in range(40)]
    rows, others = chosen(draws)
    assert all(draws[row].index != other.index for row, other in zip(rows, others, strict=True))
    backwards = chosen(draws[::-1])[1][::-1]
    assert backwards == others
    assert chosen(draws, seed=1)[1] != others


def test_a_batch_of_one_has_a_mismatched_action_too():
    assert chosen([Draw(5, 0)])[0] == [0]


def test_actions_come_as_often_as_they_are_trained_on():
    draws = [Draw(i, view) for i in range(10, 40) for view in range(40)]
    counts = Counter(other.index for other in chosen(draws)[1])
    assert 0.45 < counts[0] / len(draws) < 0.55


def test_a_single_sample_has_none():
    class Single:
        def batch(self, step):
            return [Draw(0, 0)]

    assert MismatchedActions(Single(), SAMPLES, 3, 0).pairs([Draw(0, 0)], 0) == ([], [])
