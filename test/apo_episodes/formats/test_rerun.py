import pytest

from apo_episodes.formats.rerun import write_rerun
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode

rerun = pytest.importorskip("rerun", reason="rerun-sdk is missing: pip install -r requirements/view.in")


def test_a_recording_holds_the_steps(write, tmp_path):
    path = tmp_path / "e.rrd"
    write_rerun(read_episode(write("PPHO"), images=False), LabelRule(), path)
    recording = rerun.dataframe.load_recording(path)
    assert recording.recording_id() == "e1"
    schema = recording.schema()
    assert {"step", "time"} <= {column.name for column in schema.index_columns()}
    entities = {column.entity_path for column in schema.component_columns()}
    assert {"/cameras/front", "/action/a/executed", "/action/a/human", "/state/width/0", "/control"} <= entities
    table = recording.view(index="step", contents="/control").select().read_all()
    (texts,) = [table.column(name).to_pylist() for name in table.column_names if name.endswith("Text")]
    assert [text[0] for text in texts] == [
        "POLICY undesirable: because 1",
        "POLICY undesirable: because 2",
        "HUMAN corrected: because 3",
        "HOLD unused: because 4",
    ]


def test_a_recording_holds_tokens_and_progress_where_they_are_known(write, with_facts, tmp_path):
    path = tmp_path / "e.rrd"
    write_rerun(read_episode(write("PPP", change=with_facts), images=False), LabelRule(), path)
    entities = {column.entity_path for column in rerun.dataframe.load_recording(path).schema().component_columns()}
    assert {"/action/a/policy_token", "/task/remaining"} <= entities
