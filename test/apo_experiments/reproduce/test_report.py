import pytest

from apo_experiments.reproduce import report


@pytest.mark.parametrize(("commit", "expected"), [("0123456789ab-dirty", "0123456789ab-dirty"), ("", None)])
def test_a_report_names_the_commit_and_the_packages_behind_its_figures(monkeypatch, commit, expected):
    monkeypatch.setattr(report, "source_commit", lambda file: commit)
    found = report.versions()
    assert found.get("apo") == expected
    assert {"torch", "numpy", "robosuite"} <= set(found)
