"""Samples that the policy's likelihood cannot score are set aside."""

import pytest

from apo_trainer.data.samples import TrainingDataError
from apo_trainer.data.scorable import with_scorable


class Likelihood:
    """Cannot score every `every`-th chunk that it is asked about."""

    def __init__(self, every):
        self._every, self._asked = every, 0

    def fault(self, chunk, mask):
        self._asked += 1
        return "" if self._asked % self._every else f"coefficient {self._asked} leaves the alphabet"


def test_nothing_is_noted_where_everything_can_be_scored(training_data):
    data = training_data("E" * 10, "PPUUHHHHH")
    assert with_scorable(data, Likelihood(1000), 2) == (data, "")


def test_samples_are_left_out_with_their_reason_and_count(training_data):
    data = training_data("E" * 10, "PPUUHHHHH")
    left, note = with_scorable(data, Likelihood(3), 2)
    assert left.train == tuple(sample for i, sample in enumerate(data.train) if (i + 1) % 3)
    assert note == "6 of 19 chunks are left out: coefficient N leaves the alphabet"


def test_with_nothing_left_there_is_nothing_to_train_on(training_data):
    with pytest.raises(TrainingDataError, match="10 of 10 chunks are left out: coefficient N leaves the alphabet"):
        with_scorable(training_data("E" * 10), Likelihood(1), 2)
