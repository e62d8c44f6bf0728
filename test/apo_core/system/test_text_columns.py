import pytest

from apo_core.system.text_columns import align_columns


def test_columns_have_the_width_of_their_widest_cell():
    assert align_columns([("name", "n"), ("a", "12"), ("longer", "")]) == ["name    n", "a       12", "longer"]


def test_columns_of_numbers_are_aligned_to_the_right():
    rows = [("name", "n", "share"), ("a", "12", "5 %"), ("longer", "3", "")]
    assert align_columns(rows, left=1) == ["name     n  share", "a       12    5 %", "longer   3"]
    assert align_columns([("x",), ("100",)], left=0) == ["  x", "100"]


def test_no_rows_are_no_lines():
    assert align_columns([]) == []


def test_rows_of_different_lengths_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        align_columns([("a", "b"), ("c",)])
