"""The table over several sessions."""

import json
from pathlib import Path

import pytest

from apo_bringup.session.summary import ReportError, main, read_report, table


def report(shares: list[float], base: tuple[int, int], final: tuple[int, int], stopped: str = "") -> dict:
    return {
        "rounds": [{"intervention_share": share} for share in shares],
        "evaluation": {
            name: {"successes": successes, "n": n} for name, (successes, n) in (("base", base), ("final", final))
        },
        "stopped": stopped,
    }


def write(folder: Path, content: dict) -> Path:
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(content))
    return folder


def test_the_table_has_a_line_a_session_and_the_means():
    text = table({"a": report([0.2, 0.1], (15, 30), (24, 30)), "b": report([0.3, 0.0], (18, 30), (30, 30))})
    lines = text.splitlines()
    assert lines[2].split() == ["a", "20%", "10%", "15/30", "24/30"]
    assert lines[3].split() == ["b", "30%", "0%", "18/30", "30/30"]
    assert lines[4].split() == ["mean", "25.0%", "5.0%"]
    assert lines[5] == "base: 33 of 60 = 55.0%, 95 % interval 42.5% .. 66.9%"
    assert lines[6] == "final: 54 of 60 = 90.0%, 95 % interval 79.9% .. 95.3%"


def test_a_session_that_stopped_early_counts_in_no_mean():
    text = table({"a": report([0.2], (1, 2), (2, 2)), "b": report([], (0, 0), (0, 0), "Ctrl-C")})
    assert "stopped early" in text and "mean" not in text
    assert text.splitlines()[3].split() == ["b", "-", "-", "stopped", "early"]


def test_a_folder_without_a_report_is_an_error_that_names_the_file(tmp_path, capsys):
    with pytest.raises(ReportError, match=r"nothing/report\.json: no report of a session"):
        read_report(tmp_path / "nothing")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "report.json").write_text("{}")
    assert main([str(tmp_path / "broken")]) == 2
    assert "broken/report.json" in capsys.readouterr().err


def test_the_program_prints_the_table(tmp_path, capsys):
    folders = [write(tmp_path / name, report([0.5], (1, 2), (2, 2))) for name in ("x", "y")]
    assert main([str(folder) for folder in folders]) == 0
    assert "final: 4 of 4 = 100.0%" in capsys.readouterr().out
