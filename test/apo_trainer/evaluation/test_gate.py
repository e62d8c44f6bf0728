"""The gate's decisions."""

import dataclasses
import json
import math

import pytest

from apo_trainer.data.samples import SampleClass
from apo_trainer.evaluation import gate
from apo_trainer.evaluation.gate import ClassMeans, GateLimits, Verdict

E, H, U = SampleClass.EXPERT, SampleClass.HUMAN, SampleClass.UNDESIRABLE
LIMITS = GateLimits(
    rise_nats=0.0,
    fall_nats=0.0,
    l1_tolerance=0.1,
    edge_rise=0.1,
    own_success_nats=-20.0,
    min_samples=1,
    undesirable_samples=4,
    with_undesirable=True,
)
OWN = ClassMeans(6, -0.5, 0.1, 0.1)


def evaluate(means, faults, limits, own_success=OWN) -> Verdict:
    return gate.evaluate(means, faults, limits, own_success)


def limits(**changes) -> GateLimits:
    return dataclasses.replace(LIMITS, **changes)


def good(**changes):
    means = {
        E: ClassMeans(30, 0.5, 0.10, 0.11),
        H: ClassMeans(10, 2.5, 0.20, 0.21),
        U: ClassMeans(10, -3.0, 0.3, 0.1),
    }
    return {**means, **changes}


def test_desirable_up_undesirable_down_and_no_larger_error_is_accepted():
    verdict = evaluate(good(), [], LIMITS)
    assert verdict.accepted
    assert (verdict.reasons, verdict.notes) == ((), ())
    assert verdict.values == {
        "held_out_desirable_samples": 40,
        "held_out_desirable_log_ratio": pytest.approx(1.0),  # (30 * 0.5 + 10 * 2.5) / 40
        "held_out_l1": pytest.approx(0.125),
        "held_out_ref_l1": pytest.approx(0.135),
        "held_out_edge_share": 0.0,
        "held_out_ref_edge_share": 0.0,
        "held_out_own_success_samples": 6,
        "held_out_own_success_log_ratio": -0.5,
        "held_out_undesirable_samples": 10,
        "held_out_undesirable_log_ratio": -3.0,
    }


@pytest.mark.parametrize("rise", [0.0, -0.25, math.nan])
def test_desirable_steps_that_did_not_become_more_likely_are_rejected(rise):
    verdict = evaluate(good(**{E: ClassMeans(10, rise, 0.1, 0.1), H: ClassMeans(10, rise, 0.1, 0.1)}), [], LIMITS)
    assert not verdict.accepted
    assert verdict.reasons == (
        f"held-out desirable log-ratio {rise:.3f} is not above gate_rise_nats = 0 (config/trainer.yaml)",
    )


@pytest.mark.parametrize("fall", [0.0, 1.5, math.nan])
def test_undesirable_steps_that_did_not_become_less_likely_are_rejected(fall):
    verdict = evaluate(good(**{U: ClassMeans(10, fall, 0.3, 0.1)}), [], LIMITS)
    assert not verdict.accepted
    assert verdict.reasons == (
        f"held-out undesirable log-ratio {fall:.3f} is not below minus gate_fall_nats = 0 (config/trainer.yaml)",
    )


def test_a_few_undesirable_steps_are_measured_and_not_judged():
    means = good(**{U: ClassMeans(9, 1.5, 0.3, 0.1)})
    verdict = evaluate(means, [], limits(undesirable_samples=10))
    assert verdict.accepted
    assert verdict.values["held_out_undesirable_log_ratio"] == 1.5
    assert verdict.notes == (
        "9 undesirable steps are held out, gate_undesirable_samples = 10: "
        "whether they became less likely was not judged",
    )
    assert not evaluate(means, [], limits(undesirable_samples=9)).accepted


def test_rise_and_fall_are_configurable():
    assert evaluate(good(), [], limits(rise_nats=0.75, fall_nats=2.5)).accepted
    assert not evaluate(good(), [], limits(rise_nats=1.25)).accepted
    assert not evaluate(good(), [], limits(fall_nats=3.5)).accepted
    assert evaluate(good(**{U: ClassMeans(10, 1.5, 0.3, 0.1)}), [], limits(fall_nats=-2.0)).accepted


def test_a_larger_error_than_the_references_is_rejected_beyond_tolerance():
    worse = good(**{E: ClassMeans(30, 0.5, 0.15, 0.11)})
    verdict = evaluate(worse, [], LIMITS)
    assert not verdict.accepted
    assert "L1 error 0.1625 exceeds the reference's 0.1350" in verdict.reasons[0]
    assert evaluate(worse, [], limits(l1_tolerance=0.3)).accepted
    assert not evaluate(good(**{E: ClassMeans(30, 0.5, math.nan, 0.11)}), [], LIMITS).accepted


def test_error_above_the_tolerance_is_rejected_and_at_the_limit_accepted():
    means = {E: ClassMeans(4, 1.0, 0.375, 0.25), U: ClassMeans(4, -1.0, 0.0, 0.0)}
    assert evaluate(means, [], limits(l1_tolerance=0.5)).accepted
    assert not evaluate(means, [], limits(l1_tolerance=0.4375)).accepted


def test_a_larger_error_than_that_of_the_serving_adapter_is_rejected_too():
    def serving(l1):
        return {E: ClassMeans(30, 0.5, 0.10, 0.11, serving_l1=l1, serving_log_ratio=0.25)}

    verdict = evaluate(serving(0.08), [], LIMITS)
    assert verdict.reasons == (
        "held-out L1 error 0.1000 exceeds the serving adapter's 0.0800 by more than gate_l1_tolerance = 0.1 of it "
        "(config/trainer.yaml)",
    )
    assert verdict.values["held_out_serving_l1"] == pytest.approx(0.08)
    assert verdict.values["serving_desirable_log_ratio"] == pytest.approx(0.25)
    assert evaluate(serving(0.08), [], limits(l1_tolerance=0.3)).accepted
    assert evaluate(serving(0.1), [], LIMITS).accepted
    assert not evaluate(serving(math.nan), [], LIMITS).accepted


def test_more_edge_tokens_than_the_reference_are_rejected_beyond_the_limit():
    means = {E: ClassMeans(10, 0.5, 0.1, 0.1, edges=0.30, ref_edges=0.05)}
    verdict = evaluate(means, [], LIMITS)
    assert verdict.reasons == (
        "held-out share of decoded tokens at an edge of the range 0.300 exceeds the reference's 0.050 by more than "
        "gate_edge_rise = 0.1 (config/trainer.yaml)",
    )
    assert (verdict.values["held_out_edge_share"], verdict.values["held_out_ref_edge_share"]) == (0.3, 0.05)
    assert evaluate(means, [], limits(edge_rise=0.25)).accepted


@pytest.mark.parametrize("ratio", [-20.5, math.nan])
def test_an_adapter_that_gives_up_what_the_policy_could_do_is_rejected(ratio):
    verdict = evaluate(good(), [], LIMITS, ClassMeans(6, ratio, 0.1, 0.1))
    assert verdict.reasons == (
        f"held-out log-ratio of the policy's own successes {ratio:.3f} is below gate_own_success_nats = -20 "
        "(config/trainer.yaml)",
    )


def test_without_an_own_success_that_is_noted():
    verdict = evaluate(good(), [], LIMITS, None)
    assert verdict.accepted
    assert verdict.notes == (
        "no success without a takeover is held out: whether the policy keeps what it could do was not judged",
    )
    assert "held_out_own_success_log_ratio" not in verdict.values


def test_what_else_could_not_be_judged_is_noted():
    assert gate.evaluate(good(), [], LIMITS, OWN, ["adapter 2 has another rank"]).notes == (
        "adapter 2 has another rank",
    )


def test_a_failed_self_test_is_rejected_with_its_reason():
    verdict = evaluate(good(), ["self-test: blind"], LIMITS)
    assert not verdict.accepted
    assert verdict.reasons == ("self-test: blind",)


def test_all_reasons_are_given_at_once():
    means = {H: ClassMeans(10, -1.0, 0.5, 0.1), U: ClassMeans(10, 1.0, 0.1, 0.1)}
    assert len(evaluate(means, ["self-test: blind"], limits(min_samples=11)).reasons) == 5


def test_without_undesirable_samples_the_desirable_must_rise_by_itself():
    means = good()
    del means[U]
    verdict = evaluate(means, [], LIMITS)
    assert verdict.accepted
    assert "0 undesirable steps are held out" in verdict.notes[0]
    assert not evaluate({H: ClassMeans(10, -0.1, 0.1, 0.1)}, [], LIMITS).accepted


def test_a_method_that_imitates_is_not_judged_by_the_undesirable():
    verdict = evaluate(good(**{U: ClassMeans(10, 50.0, 0.3, 0.1)}), [], limits(with_undesirable=False))
    assert verdict.accepted
    assert verdict.notes == ()
    assert "held_out_undesirable_log_ratio" not in verdict.values


def test_too_few_held_out_samples_are_rejected():
    verdict = evaluate({}, [], LIMITS)
    assert not verdict.accepted
    assert verdict.reasons == (
        "0 demonstrated or corrected steps are held out, gate_min_samples = 1 are needed to judge by "
        "(config/trainer.yaml)",
    )
    assert not evaluate(good(), [], limits(min_samples=41)).accepted
    assert evaluate(good(), [], limits(min_samples=40)).accepted


def test_without_held_out_samples_self_test_alone_may_pass_with_a_note():
    verdict = evaluate({}, [], limits(min_samples=0))
    assert verdict.accepted
    assert "the policy's progress was not judged" in verdict.notes[0]


def test_the_steps_of_the_policy_are_no_goal():
    means = {SampleClass.POLICY: ClassMeans(50, -9.0, 0.9, 0.1), **good()}
    assert evaluate(means, [], LIMITS).accepted


def test_a_verdict_is_plain_json():
    verdict = evaluate(good(**{U: ClassMeans(10, math.inf, 0.3, 0.1)}), ["x"], LIMITS).as_dict()
    assert json.loads(json.dumps(verdict, allow_nan=False)) == verdict
    assert verdict["values"]["held_out_undesirable_log_ratio"] is None
    assert (verdict["accepted"], verdict["reasons"][0]) == (False, "x")
