"""The table of a comparison."""

import dataclasses

import pytest

from apo_experiments.compare.result import MethodResult, TrainingResult
from apo_experiments.compare.table import markdown, rows, write_figure

BASE = MethodResult("base", (TrainingResult(tuple((seed, seed < 5) for seed in range(10))),))
TRAINING = TrainingResult(
    tuple((seed, 2 <= seed < 10) for seed in range(10)),
    seed=0,
    desirable=3.14159,
    undesirable=-7.5,
    l1=0.12345,
    objections=(),
    train_seconds=61.4,
    steps=120,
)
APO = MethodResult("apo", (TRAINING,))
SECOND = TrainingResult(
    tuple((seed, True) for seed in range(10)), 1, 5.0, -6.5, 0.1, ("too bad",), train_seconds=58.6, steps=100
)
FAILED = TrainingResult((), 2, objections=(), failure="TrainingDataError: nothing")

# ln of 2^(n + 1) times the integral of p^gained (1 - p)^lost over 1/2..1
LOG_E = [
    {"better": pytest.approx(-1.513, abs=0.01), "worse": pytest.approx(0.265, abs=0.01)},
    {"better": pytest.approx(-2.197, abs=0.01), "worse": pytest.approx(4.039, abs=0.01)},
]


def cells(text: str, method: str) -> list[str]:
    row = next(line for line in text.splitlines() if line.startswith(f"| {method} "))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_row_holds_rate_wilson_interval_n_and_what_changed():
    text = markdown([BASE, APO])
    # Wilson: 5 of 10 is 0.2366 .. 0.7634, 8 of 10 is 0.4902 .. 0.9433
    assert cells(text, "base") == ["base", "50%", "24% .. 76%", "10", "", "", "", "", "", "", "", ""]
    assert cells(text, "apo") == [
        "apo",
        "80%",
        "49% .. 94%",
        "10",
        "80 %",
        "+5 / -2",
        "undecided, e 1.3",
        "+3.14",
        "-7.50",
        "0.123",
        "accepted",
        "120 steps, 61 s",
    ]


def test_trainings_of_one_method_share_a_row():
    text = markdown([BASE, MethodResult("apo", (TRAINING, SECOND))])
    # Wilson: 18 of 20 is 0.6990 .. 0.9721
    assert cells(text, "apo") == [
        "apo",
        "90%",
        "70% .. 97%",
        "20",
        "80 100 %",
        "+10 / -2",
        "undecided, e 9.4",
        "+4.07",
        "-7.00",
        "0.112",
        "1 of 2 accepted",
        "110 steps, 60 s",
    ]
    assert "apo, seed 1: the gate would reject it: too bad" in text


def test_the_gate_may_reject_every_training():
    text = markdown([MethodResult("apo", (SECOND, dataclasses.replace(SECOND, seed=2)))])
    assert cells(text, "apo")[10] == "rejected"


def test_a_failed_training_leaves_the_others_in_the_row():
    text = markdown([BASE, MethodResult("apo", (TRAINING, FAILED))])
    assert cells(text, "apo")[1:6] == ["80%", "49% .. 94%", "10", "80 failed %", "+5 / -2"]
    assert "apo, seed 2: TrainingDataError: nothing" in text


def test_rows_are_paired_with_one_method():
    kto = MethodResult("kto", (TrainingResult(tuple((seed, False) for seed in range(10)), 0),))
    dpo = MethodResult("dpo", (TrainingResult(tuple((seed, False) for seed in range(12)), 1),))
    results = [BASE, APO, kto, dpo]
    text = markdown(results, "apo")
    assert cells(text, "method")[5:8] == ["gained / lost", "evidence", "against apo"]
    # two-sided binomial: 2 (1 + 7 + 21) / 2^7 and 2 / 2^8
    assert cells(text, "base")[7] == "+2 / -5, p 0.453"
    assert cells(text, "kto")[7] == "+0 / -8, p 0.008"
    assert cells(text, "apo")[7] == ""
    # no training of the same seed
    assert cells(text, "dpo")[7] == ""
    tests = [row["against"] for row in rows(results, "apo")]
    assert tests == [
        {"method": "apo", "pairs": 10, "gained": 2, "lost": 5, "p": pytest.approx(0.453125), "log_e": LOG_E[0]},
        None,
        {"method": "apo", "pairs": 10, "gained": 0, "lost": 8, "p": pytest.approx(0.0078125), "log_e": LOG_E[1]},
        None,
    ]


def test_a_small_p_is_shown_as_below_its_last_digit():
    one = MethodResult("apo", (TrainingResult(tuple((seed, True) for seed in range(11)), 0),))
    other = MethodResult("kto", (TrainingResult(tuple((seed, False) for seed in range(11)), 0),))
    # 2 / 2^11 = 0.00098
    assert cells(markdown([one, other], "kto"), "apo")[7] == "+11 / -0, p < 0.001"


def test_nothing_is_paired_with_a_row_that_is_missing():
    text = markdown([BASE, APO], "kto")
    assert cells(text, "method")[7] == "against kto"
    assert cells(text, "apo")[7] == ""
    assert [row["against"] for row in rows([BASE, APO])] == [None, None]


@pytest.mark.parametrize("against", ["", "apo"])
def test_all_lines_of_the_table_are_of_one_width(against):
    text = markdown([BASE, APO], against)
    assert len({len(line) for line in text.splitlines() if line.startswith("|")}) == 1


def test_rejections_notes_and_failures_are_below():
    training = TrainingResult(((0, True),), 0, objections=("too bad",), notes=("no EXPERT sample",))
    text = markdown([BASE, MethodResult("kto", (training,)), MethodResult("tpo", (FAILED,))])
    assert cells(text, "kto")[10] == "rejected"
    assert cells(text, "tpo")[1:6] == ["failed", "", "0", "", ""]
    assert "\nkto: the gate would reject it: too bad\n" in text
    assert "\nkto: no EXPERT sample\n" in text
    assert "\ntpo: TrainingDataError: nothing\n" in text


def test_the_figure_is_a_png(tmp_path):
    write_figure([BASE, APO, MethodResult("tpo", (FAILED,))], tmp_path / "compare.png", "Lift")
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_evidence_against_the_base_policy_is_a_finding_with_its_strength():
    best = MethodResult("apo", (TrainingResult(tuple((seed, True) for seed in range(100)), 0),))
    worst = MethodResult("kto", (TrainingResult(tuple((seed, False) for seed in range(40)), 0),))
    base = MethodResult(
        "base",
        (
            TrainingResult(
                tuple((seed, seed >= 20) for seed in range(100)),
            ),
        ),
    )
    text = markdown([base, best, worst])
    assert cells(text, "base")[6] == ""
    assert cells(text, "apo")[5:7] == ["+20 / -0", "better, e >= 1000"]
    assert cells(text, "kto")[5:7] == ["+0 / -20", "worse, e >= 1000"]
    assert "kto: decided after 40 episodes; its rate and interval are of a run that ended then" in text
    assert "apo: decided" not in text
