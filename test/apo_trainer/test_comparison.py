"""The table of a comparison."""

import json

import pytest

from apo_trainer.comparison import MethodResult, gained_and_lost, markdown, write_figure

BASE = MethodResult("base", tuple((seed, seed < 5) for seed in range(10)))
APO = MethodResult(
    "apo",
    tuple((seed, 2 <= seed < 10) for seed in range(10)),
    desirable=3.14159,
    undesirable=-7.5,
    l1=0.12345,
    objections=(),
    train_seconds=61.4,
    steps=120,
)


def cells(text: str, method: str) -> list[str]:
    row = next(line for line in text.splitlines() if line.startswith(f"| {method} "))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_row_holds_rate_wilson_interval_n_and_what_changed():
    text = markdown([BASE, APO])
    # Wilson: 5 of 10 is 0.2366 .. 0.7634, 8 of 10 is 0.4902 .. 0.9433
    assert cells(text, "base") == ["base", "50%", "24% .. 76%", "10", "", "", "", "", "", ""]
    assert cells(text, "apo") == [
        "apo",
        "80%",
        "49% .. 94%",
        "10",
        "+5 / -2",
        "+3.14",
        "-7.50",
        "0.123",
        "accepted",
        "120 steps, 61 s",
    ]


def test_all_lines_of_the_table_are_of_one_width():
    assert len({len(line) for line in markdown([BASE, APO]).splitlines() if line.startswith("|")}) == 1


def test_only_seeds_of_both_are_compared():
    assert gained_and_lost(MethodResult("apo", ((4, False), (5, True), (99, True))), BASE) == (1, 1)


def test_refusals_notes_and_failures_are_told_below():
    refused = MethodResult("kto", ((0, True),), objections=("too bad",), notes=("no EXPERT sample",))
    failed = MethodResult("tpo", (), objections=(), failure="TrainingDataError: nothing")
    text = markdown([BASE, refused, failed])
    assert cells(text, "kto")[8] == "refused"
    assert cells(text, "tpo")[1:4] == ["failed", "", "0"]
    assert "kto: the gate would refuse it: too bad" in text
    assert "kto: no EXPERT sample" in text
    assert "tpo: TrainingDataError: nothing" in text


@pytest.mark.parametrize("result", [BASE, APO])
def test_a_result_survives_json(result):
    assert MethodResult.from_dict(json.loads(json.dumps(result.as_dict()))) == result


def test_the_figure_is_a_png(tmp_path):
    write_figure([BASE, APO, MethodResult("tpo", (), failure="x")], tmp_path / "compare.png", "Lift")
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")
