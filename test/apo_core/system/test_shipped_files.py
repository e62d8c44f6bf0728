"""Files that come with apo, from a folder of the user's."""

from pathlib import Path

import pytest

from apo_core.system.shipped_files import shipped

ament = pytest.importorskip("ament_index_python.packages", reason="no workspace is sourced: run 'make setup'")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The working directory: an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_of_the_working_directory_comes_first(elsewhere):
    mine = elsewhere / "config" / "trainer.yaml"
    mine.parent.mkdir()
    mine.write_text("")
    assert shipped("config/trainer.yaml") == Path("config/trainer.yaml")
    assert shipped(mine) == mine


@pytest.mark.parametrize("name", ["config/trainer.yaml", "config/contract.yaml", "models/lift_base"])
def test_else_the_installed_one_counts(elsewhere, name):
    found = shipped(name)
    assert found == Path(ament.get_package_share_directory("apo_bringup")) / name
    assert found.exists()


@pytest.mark.parametrize("name", ["config/absent.yaml", "models/absent", "/absent/config/trainer.yaml"])
def test_what_nobody_has_stays_as_it_was_typed(elsewhere, name):
    assert shipped(name) == Path(name)
