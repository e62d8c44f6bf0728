"""The gate's decisions."""

import pytest

from apo_trainer.config import TrainingConfig
from apo_trainer.dataset import SampleClass
from apo_trainer.gate import ClassMeans, judge

E, H, U = SampleClass.EXPERT, SampleClass.HUMAN, SampleClass.UNDESIRABLE


def good(**changes):
    means = {
        E: ClassMeans(30, 0.5, 0.10, 0.11),
        H: ClassMeans(10, 2.5, 0.20, 0.21),
        U: ClassMeans(10, -3.0, 0.3, 0.1),
    }
    return {**means, **changes}


def test_an_adapter_that_prefers_the_desirable_is_accepted():
    verdict = judge(good(), [], TrainingConfig())
    assert verdict.accepted
    assert verdict.reasons == ()
    # (30 * 0.5 + 10 * 2.5) / 40
    assert verdict.values["held_out_desirable_log_ratio"] == pytest.approx(1.0)
    assert verdict.values["held_out_margin"] == pytest.approx(4.0)
    assert verdict.values["held_out_l1"] == pytest.approx(0.125)
    assert verdict.values["held_out_ref_l1"] == pytest.approx(0.135)


def test_a_margin_that_is_too_small_is_refused():
    verdict = judge(good(**{U: ClassMeans(10, 1.5, 0.3, 0.1)}), [], TrainingConfig())
    assert not verdict.accepted
    assert "desirable log-ratio 1.000 minus the undesirable one (1.500)" in verdict.reasons[0]


def test_the_margin_is_configurable():
    assert not judge(good(), [], TrainingConfig(gate_margin_nats=4.5)).accepted
    assert judge(good(), [], TrainingConfig(gate_margin_nats=3.5)).accepted


def test_a_larger_error_than_the_reference_is_refused_beyond_the_tolerance():
    worse = good(**{E: ClassMeans(30, 0.5, 0.15, 0.11)})
    verdict = judge(worse, [], TrainingConfig(gate_l1_tolerance=0.1))
    assert not verdict.accepted
    assert "L1 error 0.1625 exceeds the reference's 0.1350" in verdict.reasons[0]
    assert judge(worse, [], TrainingConfig(gate_l1_tolerance=0.3)).accepted


def test_a_failed_self_test_is_refused_with_its_reason():
    verdict = judge(good(), ["self-test: blind"], TrainingConfig())
    assert not verdict.accepted
    assert verdict.reasons == ("self-test: blind",)


def test_all_reasons_are_given_at_once():
    means = {H: ClassMeans(10, -1.0, 0.5, 0.1), U: ClassMeans(10, 1.0, 0.1, 0.1)}
    assert len(judge(means, ["self-test: blind"], TrainingConfig()).reasons) == 3


def test_without_undesirable_samples_the_desirable_must_rise_by_itself():
    means = good()
    del means[U]
    assert judge(means, [], TrainingConfig()).accepted
    assert "no undesirable step" in judge(means, [], TrainingConfig()).notes[0]
    means = {H: ClassMeans(10, -0.1, 0.1, 0.1)}
    assert not judge(means, [], TrainingConfig()).accepted


def test_behaviour_cloning_is_not_judged_by_the_undesirable():
    means = good(**{U: ClassMeans(10, 50.0, 0.3, 0.1)})
    assert judge(means, [], TrainingConfig(method="bc")).accepted


def test_without_held_out_samples_only_the_self_test_counts_and_that_is_said():
    verdict = judge({}, [], TrainingConfig())
    assert verdict.accepted
    assert "nothing to judge by" in verdict.notes[0]
