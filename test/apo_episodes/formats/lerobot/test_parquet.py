import json

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow", reason="pyarrow is missing: pip install -r requirements/export.in")

from pyarrow import parquet  # noqa: E402

from apo_episodes.formats.lerobot.parquet import Shards, make_table, write_meta  # noqa: E402

FEATURES = {
    "action": {"dtype": "float32"},
    "front": {"dtype": "video"},
    "wrist": {"dtype": "image"},
    "index": {"dtype": "int64"},
}


def table(length: int):
    columns = {
        "action": np.arange(2 * length, dtype=np.float32).reshape(length, 2),
        "index": np.arange(length, dtype=np.int64),
    }
    return make_table(columns, {"wrist": [b"png"] * length}, FEATURES)


def test_columns_follow_the_features_without_videos():
    made = table(3)
    assert made.column_names == ["action", "wrist", "index"]
    assert made["action"].to_pylist() == [[0, 1], [2, 3], [4, 5]]
    assert made["action"].type == pa.list_(pa.float32(), 2)
    assert made["wrist"].to_pylist() == [{"bytes": b"png", "path": None}] * 3


def test_a_full_file_is_followed_by_another_and_a_full_folder_too(tmp_path):
    shards = Shards(tmp_path, "{chunk_index}/{file_index}.parquet", limit_bytes=1, chunks_size=2)
    places = [shards.write(table(2)) for _ in range(3)]
    shards.close()
    assert [tuple(place.values()) for place in places] == [(0, 0), (0, 1), (1, 0)]
    assert set(places[0]) == {"data/chunk_index", "data/file_index"}
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")) == [
        "0/0.parquet",
        "0/1.parquet",
        "1/0.parquet",
    ]


def test_an_episode_is_a_row_group(tmp_path):
    shards = Shards(tmp_path, "data.parquet", limit_bytes=1 << 30, chunks_size=1000)
    for length in (2, 5):
        shards.write(table(length))
    shards.close()
    shards.close()  # safe to call twice
    file = parquet.ParquetFile(tmp_path / "data.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [2, 5]


def test_meta_names_tasks_by_their_text(tmp_path):
    write_meta(tmp_path, [{"episode_index": 0}], {"action": {"mean": [0.5]}}, {"lift": 0, "stack": 1}, {"fps": 20})
    meta = tmp_path / "meta"
    tasks = parquet.read_table(meta / "tasks.parquet")
    assert tasks.to_pydict() == {"task_index": [0, 1], "task": ["lift", "stack"]}
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    assert json.loads((meta / "info.json").read_text()) == {"fps": 20}
    assert json.loads((meta / "stats.json").read_text()) == {"action": {"mean": [0.5]}}
    assert parquet.read_table(meta / "episodes/chunk-000/file-000.parquet").to_pylist() == [{"episode_index": 0}]
