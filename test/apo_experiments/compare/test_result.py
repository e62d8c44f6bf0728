"""Rows of a comparison: what is pooled, and what two of them differ in."""

import json
from dataclasses import replace

import pytest

from apo_experiments.compare.result import MethodResult, PairedTest, TrainingResult, paired
from apo_trainer.evaluation.gate import Verdict
from apo_trainer.runs.result import RunResult


def outcomes(text: str) -> tuple[tuple[int, bool], ...]:
    """Of seeds 0, 1, ...: + succeeded, - failed."""
    return tuple((seed, letter == "+") for seed, letter in enumerate(text))


def row(method: str, *texts: str) -> MethodResult:
    """One training a text, with seeds 0, 1, ..."""
    return MethodResult(method, tuple(TrainingResult(outcomes(text), seed) for seed, text in enumerate(texts)))


BASE = MethodResult("base", (TrainingResult(outcomes("++--")),))
FIRST = TrainingResult(
    outcomes("+++-"), 3, 2.0, -8.0, 0.1, ("too bad",), train_seconds=40.0, steps=100, notes=("no EXPERT sample",)
)
SECOND = TrainingResult(outcomes("+---"), 4, 4.0, -6.0, 0.3, (), train_seconds=60.0, steps=50)
FAILED = TrainingResult((), 5, steps=7, failure="TrainingDataError: nothing")


def test_a_row_pools_outcomes_and_averages_the_rest():
    pooled = MethodResult("apo", (FIRST, SECOND))
    assert (pooled.n, pooled.successes, pooled.rate) == (8, 4, 0.5)
    # Wilson, 4 of 8
    assert pooled.interval == pytest.approx((0.2152, 0.7848), abs=1e-4)
    assert (pooled.desirable, pooled.undesirable, pooled.l1) == (3.0, -7.0, pytest.approx(0.2))
    assert (pooled.steps, pooled.train_seconds) == (75.0, 50.0)


def test_a_failed_training_leaves_the_others():
    pooled = MethodResult("apo", (FIRST, FAILED))
    assert (pooled.n, pooled.rate, pooled.steps, pooled.desirable) == (4, 0.75, 100.0, 2.0)
    assert pooled.failure == "apo, seed 5: TrainingDataError: nothing"
    alone = MethodResult("apo", (FAILED,))
    assert (alone.n, alone.rate, alone.steps, alone.l1) == (0, None, None, None)
    assert alone.failure == "apo: TrainingDataError: nothing"


def test_json_holds_the_pooled_row_and_every_training():
    values = json.loads(json.dumps(MethodResult("apo", (FIRST, FAILED)).as_dict()))
    assert (values["method"], values["n"], values["successes"], values["rate"]) == ("apo", 4, 3, 0.75)
    assert values["ci95"] == pytest.approx([0.3006, 0.9544], abs=1e-4)
    assert [(each["seed"], each["n"], each["rate"]) for each in values["trainings"]] == [(3, 4, 0.75), (5, 0, None)]
    assert values["trainings"][0]["outcomes"] == [[0, True], [1, True], [2, True], [3, False]]


@pytest.mark.parametrize("result", [BASE.trainings[0], FIRST, FAILED])
def test_a_training_survives_json(result):
    assert TrainingResult.from_dict(json.loads(json.dumps({**result.as_dict(), "key": "x"}))) == result


def test_the_result_of_a_run_is_read():
    values = {
        "held_out_desirable_log_ratio": 1.5,
        "held_out_undesirable_log_ratio": -2.5,
        "held_out_l1": 0.25,
    }
    run = RunResult("run", 0, 0, "apo", planned_steps=9)
    done = replace(
        run,
        state="PUBLISHED",
        message="published",
        steps=9,
        train_seconds=2.0,
        notes=("a note",),
        verdict=Verdict(False, ("too bad",), (), values),
    )
    assert TrainingResult.from_run(4, done) == TrainingResult(
        (), 4, 1.5, -2.5, 0.25, ("too bad",), train_seconds=2.0, steps=9, notes=("a note",)
    )
    failed = replace(run, state="FAILED", message="no data")
    assert TrainingResult.from_run(4, failed) == TrainingResult((), 4, failure="no data")


def test_outcomes_are_paired_by_both_seeds():
    # training 0: +1 on seed 1, -1 on seed 2; training 1: +1 on seed 0
    assert paired(row("kto", "++-+", "+---"), row("apo", "+-++", "----")) == PairedTest(8, 2, 1)


def test_what_only_one_row_has_does_not_count():
    longer = MethodResult("kto", (TrainingResult(((3, True), (9, True)), 0), TrainingResult(outcomes("++++"), 1)))
    assert paired(longer, row("apo", "----")) == PairedTest(1, 1, 0)
    assert paired(MethodResult("tpo", (FAILED,)), row("apo", "----")) == PairedTest(0, 0, 0)


def test_the_base_policy_is_paired_with_every_training():
    apo = row("apo", "+++-", "--+-")
    assert paired(apo, BASE) == PairedTest(8, 2, 2)
    assert paired(BASE, apo) == PairedTest(8, 2, 2)
    assert paired(row("apo", "+++-"), BASE) == PairedTest(4, 1, 0)


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        (1, 0, 1.0),
        (0, 5, 0.0625),  # 2 / 2^5
        (9, 2, 0.0654296875),  # 2 (1 + 11 + 55) / 2^11
        (12, 0, 0.00048828125),
    ],
)
def test_p_is_the_two_sided_binomial(gained, lost, p):
    test = PairedTest(100, gained, lost)
    assert test.p == pytest.approx(p, rel=1e-12)
    shown = test.as_dict()
    assert shown.pop("log_e") == {"better": test.evidence.better, "worse": test.evidence.worse}
    assert shown == {"pairs": 100, "gained": gained, "lost": lost, "p": test.p}


def test_evidence_is_that_of_the_pairs_that_differ():
    base, better = row("base", "+---------"), row("apo", "++++++++++")
    assert paired(better, base).evidence.finding() == "better"
    assert paired(base, better).evidence.finding() == "worse"
    assert paired(row("apo", "+++-------"), base).evidence.finding() == "undecided"
