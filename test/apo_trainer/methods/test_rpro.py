"""Pairs of shadow actions alone."""

import pytest

from apo_trainer.config import TrainingConfig
from apo_trainer.data.sampler import ActionOf
from apo_trainer.data.samples import TrainingDataError
from apo_trainer.methods.rpro import Rpro


def sampler(data, **changes):
    return Rpro(data, TrainingConfig(**{"method": "rpro", "batch_size": 8, **changes})).sampler


def test_a_pair_is_what_a_person_did_and_what_the_policy_would_have_done(training_data, drawn):
    data = training_data("E" * 10, "PPUUHHHHH")
    draws = sampler(data, views=3).batch(5)
    preferred, rejected = draws[:4], draws[4:]
    assert drawn(data, draws) == "H" * 8
    assert [(d.index, d.view) for d in preferred] == [(d.index, d.view) for d in rejected]
    assert {d.action for d in preferred} == {ActionOf.RECORDED} and {d.action for d in rejected} == {ActionOf.SHADOW}


def test_without_shadow_actions_there_is_no_pair(training_data):
    with pytest.raises(TrainingDataError, match="none of 5 HUMAN samples has a shadow action"):
        sampler(training_data("E" * 10, "PPUUHHHHH", shadow=False))
