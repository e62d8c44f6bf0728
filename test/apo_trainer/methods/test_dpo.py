"""Pairs on one observation."""

from collections import Counter

import pytest

from apo_trainer.config import TrainingConfig
from apo_trainer.data.sampler import ActionOf
from apo_trainer.data.samples import TrainingDataError
from apo_trainer.methods.dpo import Dpo


def sampler(data, **changes):
    return Dpo(data, TrainingConfig(**{"batch_size": 16, **changes})).sampler


def test_the_second_half_holds_the_rejected_actions_of_the_first(training_data, drawn):
    data = training_data("E" * 10, "PPUUHHHHH")
    draws = sampler(data, views=3).batch(5)
    preferred, rejected = draws[:8], draws[8:]
    assert [(d.index, d.view) for d in preferred] == [(d.index, d.view) for d in rejected]
    assert {d.action for d in preferred} == {ActionOf.RECORDED}
    assert Counter(drawn(data, preferred)) == {"E": 4, "H": 4}


def test_rejected_is_the_shadow_where_a_person_drove_and_else_synthetic(training_data, drawn):
    data = training_data("E" * 10, "PPUUHHHHH")
    draws = sampler(data).batch(0)[8:]
    actions = {(letter, draw.action) for letter, draw in zip(drawn(data, draws), draws, strict=True)}
    assert actions == {("H", ActionOf.SHADOW), ("E", ActionOf.SYNTHETIC)}


def test_without_a_shadow_the_negative_is_synthetic_with_a_note(training_data):
    one = sampler(training_data("E" * 10, "PPUUHHHHH", shadow=False))
    assert {draw.action for draw in one.batch(0)[8:]} == {ActionOf.SYNTHETIC}
    assert one.notes == ["5 HUMAN samples have no shadow action of the policy: a synthetic one instead"]


def test_a_batch_of_one_is_a_pair(training_data):
    assert len(sampler(training_data("E", "UH"), batch_size=1).batch(0)) == 2


def test_without_takeovers_demonstrations_fill_the_batch(training_data, drawn):
    data = training_data("E" * 10)
    one = sampler(data)
    assert drawn(data, one.batch(0)) == "E" * 16
    assert one.notes == ["no HUMAN sample: its share went to the others"]


def test_without_expert_and_human_steps_there_is_no_pair(training_data):
    with pytest.raises(TrainingDataError, match="no sample to train on"):
        sampler(training_data("PPPUUU"))
