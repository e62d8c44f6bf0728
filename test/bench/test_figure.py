"""A figure, its goal and its JSON line."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from figure import Figure, parse_figure

LATENCY = Figure("takeover_p50_ratio", 1.25, "", 1.3, True, 300, 1.1, 1.25)


def test_a_goal_is_an_upper_or_a_lower_limit():
    assert LATENCY.met
    assert not Figure("a", 1.31, "", 1.3, True, 1).met
    assert Figure("b", 6.0, "x", 6.0, False, 1).met
    assert not Figure("b", 5.9, "x", 6.0, False, 1).met


def test_a_line_is_read_back_and_has_whether_the_goal_was_met(capsys):
    LATENCY.emit()
    line = capsys.readouterr().out
    assert json.loads(line)["met"] is True
    assert parse_figure(line) == LATENCY
    assert LATENCY.row() == ("takeover_p50_ratio", "1.25", "1.1", "1.25", "<= 1.3", "met", "300")


def test_what_is_no_figure_is_rejected():
    for line in ("[INFO] up", "[]", "3", '{"value": 1}'):
        with pytest.raises(ValueError):
            parse_figure(line)
    with pytest.raises(ValueError, match="takeover_p50_ratio = nan must be finite"):
        Figure("takeover_p50_ratio", float("nan"), "", 1.3, True, 1).emit()
