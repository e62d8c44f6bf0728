"""Windows of trajectories."""

import itertools

import pytest

from apo_trainer.config import TrainingConfig
from apo_trainer.data.samples import SampleClass, TrainingDataError
from apo_trainer.methods.tpo import Tpo, windows


def sampler(data, **changes):
    return Tpo(data, TrainingConfig(**{"batch_size": 16, "tpo_window": 4, **changes})).sampler


def test_a_window_stays_in_one_episode_one_class_and_consecutive_steps(training_data):
    data = training_data("HHHUUUU", "HH-HHH", "HHH")
    # samples 0-2 H, 3-6 U; 7-8 H, 9-11 H after an unused step; 12-14 H of another episode
    starts = windows(data.train, 3)
    assert starts[SampleClass.HUMAN] == [0, 9, 12]
    assert starts[SampleClass.UNDESIRABLE] == [3, 4]
    assert windows(data.train, 1)[SampleClass.HUMAN] == [0, 1, 2, 7, 8, 9, 10, 11, 12, 13, 14]
    assert windows(data.train, 8) == {name: [] for name in SampleClass}


def test_preferred_windows_come_first_then_as_many_rejected_ones(training_data, drawn):
    data = training_data("E" * 20, "PPPPUUUUUHHHHHH")
    one = sampler(data)
    assert one.counts == {"EXPERT": 4, "HUMAN": 4, "UNDESIRABLE": 8}
    for step in range(6):
        draws = one.batch(step)
        assert drawn(data, draws) == "EEEEHHHHUUUUUUUU"
        steps = [data.train[draw.index].step for draw in draws]
        assert [b - a for a, b in itertools.pairwise(steps)][:3] == [1, 1, 1]


def test_a_small_batch_is_one_pair(training_data, drawn):
    data = training_data("E" * 20, "UUUUUHHHHHH")
    assert drawn(data, sampler(data, batch_size=1).batch(0)) == "EEEEUUUU"


def test_too_short_undesirable_stretches_are_an_error(training_data):
    with pytest.raises(TrainingDataError, match=r"no 4 undesirable steps in a row \(tpo_window, config/trainer.yaml\)"):
        sampler(training_data("E" * 20, "UUUHHHHHH"))


def test_without_long_human_stretches_experts_fill_their_place(training_data, drawn):
    data = training_data("E" * 20, "UUUUUHHH")
    one = sampler(data)
    assert drawn(data, one.batch(0)) == "E" * 8 + "U" * 8
    assert one.notes == ["no HUMAN sample: its share went to the others"]
