"""The folder of a run: what a run that goes on finds there."""

import json
from datetime import UTC, datetime

import pytest

from apo_trainer.config import TrainerConfig, TrainingConfig
from apo_trainer.runs.files import MetricsFile, RunFiles, RunFolderError, RunRequest, explain, run_id_at
from apo_trainer.runs.result import RunResult
from apo_trainer.states import RunState


def result(state: str) -> RunResult:
    return RunResult("name", parent=0, serving=3, method="apo", planned_steps=7, state=RunState(state))


@pytest.fixture
def begun(tmp_path):
    """A run that was begun on one episode file."""
    (tmp_path / "e1.h5").write_text("")
    files = RunFiles(tmp_path / "run")
    files.begin(TrainerConfig(TrainingConfig(steps=7)))
    files.write_request(RunRequest("name", 0, 3, (str(tmp_path / "e1.h5"),), (("e2.h5", "requested but not found"),)))
    return files


def test_what_was_asked_for_is_read_back(begun, tmp_path):
    config, request = begun.read()
    assert config == TrainerConfig(TrainingConfig(steps=7))
    path = str(tmp_path / "e1.h5")
    assert request == RunRequest("name", 0, 3, (path,), (("e2.h5", "requested but not found"),))


def test_a_folder_without_a_run_is_rejected(tmp_path):
    with pytest.raises(RunFolderError, match="no run to resume"):
        RunFiles(tmp_path).read()


def test_an_episode_file_that_is_gone_is_named(begun, tmp_path):
    (tmp_path / "e1.h5").unlink()
    with pytest.raises(RunFolderError, match=r"1 of its episode files are gone: .*e1\.h5"):
        begun.read()


@pytest.mark.parametrize("state", ["PUBLISHED", "REJECTED"])
def test_a_finished_run_is_rejected_and_needs_no_progress(begun, state):
    begun.progress.write_text("")
    begun.write_result(result(state))
    assert not begun.progress.exists()
    with pytest.raises(RunFolderError, match=f"the run is finished \\({state}\\)"):
        begun.read()


@pytest.mark.parametrize("state", ["FAILED", "INTERRUPTED"])
def test_a_run_that_failed_or_was_stopped_can_go_on(begun, state):
    begun.progress.write_text("")
    begun.write_result(result(state))
    assert begun.progress.exists()
    assert begun.read()[1].run_id == "name"


def test_a_new_run_in_the_same_folder_forgets_the_old_one(begun):
    begun.progress.write_text("")
    begun.write_result(result("FAILED"))
    begun.begin(TrainerConfig())
    assert not begun.progress.exists()
    assert not begun.result.exists()


def test_metrics_after_the_step_to_go_on_from_are_dropped(tmp_path):
    files = RunFiles(tmp_path)
    path = files.metrics
    with MetricsFile(path) as lines:
        assert files.last_metrics() == {}
        for step in (1, 2, 3):
            lines.write({"step": step})
    path.write_text(path.read_text() + '{"step": 4, "lo')  # killed while it wrote
    with MetricsFile(path, 2) as lines:
        assert files.last_metrics() == {"step": 2}
        lines.write({"step": 3, "again": True})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1},
        {"step": 2},
        {"step": 3, "again": True},
    ]


def test_a_full_disk_is_explained_with_the_places(tmp_path):
    text = explain(OSError(28, "No space left on device"), (tmp_path / "run", "adapters"))
    assert "No space left on device; one of" in text
    assert f"{tmp_path / 'run'}, adapters is on a full disk: free space and resume the run" in text
    assert explain(ValueError("bad"), ("x",)) == "ValueError: bad"


def test_the_name_of_a_run_is_its_time_to_the_millisecond():
    assert run_id_at(datetime(2026, 3, 4, 5, 6, 7, 89_999, UTC)) == "20260304T050607.089"
