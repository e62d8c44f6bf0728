import pytest

from apo_core.system.text_columns import align_columns


def test_columns_have_the_width_of_their_widest_cell():
    assert align_columns([("name", "n"), ("a", "12"), ("longer", "")]) == ["name    n", "a       12", "longer"]


def test_cells_of_right_aligned_columns_end_at_the_same_place():
    rows = [("name", "n"), ("a", "12"), ("longer", "")]
    assert align_columns(rows, right=[1]) == ["name     n", "a       12", "longer"]


def test_no_rows_are_no_lines():
    assert align_columns([]) == []


def test_rows_of_different_lengths_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        align_columns([("a", "b"), ("c",)])
