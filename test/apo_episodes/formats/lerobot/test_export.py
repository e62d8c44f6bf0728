import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from apo_core.contract.contract import contract_from_dict
from apo_core.errors import EpisodeToolError
from apo_core.types import Outcome
from apo_episodes.files import read_all
from apo_episodes.formats.lerobot.export import LeRobotOptions, export_lerobot
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is missing: pip install -r requirements/export.in")
OPTIONS = LeRobotOptions(rule=LabelRule(undesirable_steps=1), robot_type="panda")
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
DATA = "data/chunk-000/file-000.parquet"


@pytest.fixture
def two(write):
    """Two episodes with different instructions."""
    return [write("PPHO", "a"), write("PP", "b", Outcome.FAILURE, instruction="stack")]


def test_the_layout_is_the_published_one(two, tmp_path):
    assert export_lerobot(read_all(two), tmp_path / "out", OPTIONS) == 6
    files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert files == [
        DATA,
        EPISODES,
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
        "videos/observation.images.front/chunk-000/file-000.mp4",
    ]
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["fps"], info["robot_type"], info["splits"]) == (10, "panda", {"train": "0:2"})
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (2, 6, 2)
    assert info["features"]["action"] == {"dtype": "float32", "shape": [7], "names": list("abcdefg")}
    assert info["features"]["observation.state"]["names"] == [f"ee_pose.{i}" for i in range(7)] + ["finger"]
    assert info["features"]["intervention"] == {"dtype": "bool", "shape": [1], "names": None}
    assert info["features"]["observation.images.front"]["shape"] == [4, 6, 3]


def test_frames_are_rows(two, tmp_path):
    export_lerobot(read_all(two), tmp_path / "out", OPTIONS)
    table = parquet.read_table(tmp_path / "out" / DATA)
    rows = table.to_pydict()
    episodes = [read_episode(path) for path in two]
    np.testing.assert_array_equal(rows["action"], np.concatenate([e.executed_actions for e in episodes]))
    state = np.concatenate([np.concatenate([e.state["ee_pose"], e.state["width"]], axis=1) for e in episodes])
    np.testing.assert_array_equal(rows["observation.state"], state)
    assert rows["intervention"] == [False, False, True, False, False, False]
    assert rows["label"] == [1, 0, 2, -1, 1, 0]
    assert rows["next.done"] == [False, False, False, True, False, True]
    assert rows["next.success"] == [False, False, False, True, False, False]
    assert rows["next.reward"] == [0, 0, 0, 1, 0, 0]
    assert rows["frame_index"] == [0, 1, 2, 3, 0, 1]
    assert rows["episode_index"] == [0, 0, 0, 0, 1, 1]
    assert rows["index"] == [0, 1, 2, 3, 4, 5]
    assert rows["task_index"] == [0, 0, 0, 0, 1, 1]
    assert rows["timestamp"] == pytest.approx([0, 0.1, 0.2, 0.3, 0, 0.1])
    assert rows["stamp_ns"][:2] == [100_000_000, 200_000_000]
    types = {name: str(table.schema.field(name).type) for name in ("action", "timestamp", "intervention", "index")}
    assert types["action"].startswith("fixed_size_list<") and types["action"].endswith("[7]")
    assert (types["timestamp"], types["intervention"], types["index"]) == ("float", "bool", "int64")


def test_episodes_name_where_their_frames_are(two, tmp_path):
    export_lerobot(read_all(two), tmp_path / "out", OPTIONS)
    rows = parquet.read_table(tmp_path / "out" / EPISODES).to_pylist()
    assert [row["length"] for row in rows] == [4, 2]
    assert [row["tasks"] for row in rows] == [["lift the cube"], ["stack"]]
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in rows] == [(0, 4), (4, 6)]
    key = "videos/observation.images.front"
    assert [(row[f"{key}/chunk_index"], row[f"{key}/file_index"]) for row in rows] == [(0, 0), (0, 0)]
    spans = [(row[f"{key}/from_timestamp"], row[f"{key}/to_timestamp"]) for row in rows]
    assert spans == pytest.approx([(0, 0.4), (0.4, 0.6)])
    assert rows[1]["stats/action/count"] == [2]
    assert np.shape(rows[0]["stats/observation.images.front/mean"]) == (3, 1, 1)
    assert [row["episode_id"] for row in rows] == ["a", "b"]
    video = cv2.VideoCapture(str(tmp_path / "out/videos/observation.images.front/chunk-000/file-000.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 6


def test_tasks_are_a_pandas_frame_with_the_text_as_index(two, tmp_path):
    export_lerobot(read_all(two), tmp_path / "out", OPTIONS)
    table = parquet.read_table(tmp_path / "out/meta/tasks.parquet")
    assert table.to_pydict() == {"task_index": [0, 1], "task": ["lift the cube", "stack"]}
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["task"]


def test_statistics_are_of_all_frames(two, tmp_path):
    export_lerobot(read_all(two), tmp_path / "out", OPTIONS)
    stats = json.loads((tmp_path / "out/meta/stats.json").read_text())
    assert stats["action"]["count"] == [6]
    assert stats["action"]["mean"][0] == pytest.approx((1 + 2 + 3 + 4 + 1 + 2) / 6000)
    assert stats["intervention"]["mean"] == pytest.approx([1 / 6])
    frames = np.concatenate([read_episode(path).images["front"] for path in two]).reshape(-1, 3)
    np.testing.assert_allclose(np.ravel(stats["observation.images.front"]["mean"]), frames.mean(axis=0) / 255)


def test_png_keeps_the_frames_as_they_are(two, tmp_path):
    export_lerobot(read_all(two), tmp_path / "out", replace(OPTIONS, images="png"))
    rows = parquet.read_table(tmp_path / "out" / DATA).to_pydict()["observation.images.front"]
    stored = cv2.imdecode(np.frombuffer(rows[5]["bytes"], np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    np.testing.assert_array_equal(stored, read_episode(two[1]).images["front"][1])
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    assert info["features"]["observation.images.front"]["dtype"] == "image"
    assert info["video_path"] is None
    assert not (tmp_path / "out/videos").exists()


def test_full_files_are_followed_by_others(two, tmp_path):
    export_lerobot(read_all(two), tmp_path / "out", replace(OPTIONS, data_mb=0, video_mb=0))
    rows = parquet.read_table(tmp_path / "out" / EPISODES).to_pylist()
    assert [row["data/file_index"] for row in rows] == [0, 1]
    assert [row["videos/observation.images.front/file_index"] for row in rows] == [0, 1]
    second = parquet.read_table(tmp_path / "out/data/chunk-000/file-001.parquet").to_pydict()
    assert second["index"] == [4, 5]


def changed(small_contract, **parts):
    return contract_from_dict({**small_contract.as_dict(), **parts}, "changed")


def test_every_reason_against_it_is_reported(write, small_contract, tmp_path):
    images = {"front": {"topic": "f", "height": 5, "width": 6, "encoding": "rgb8"}}
    contract = changed(small_contract, rate_hz=12.5, images=images)
    with pytest.raises(EpisodeToolError) as caught:
        export_lerobot(read_all([write("", contract=contract)]), tmp_path / "out", OPTIONS)
    text = str(caught.value)
    assert "has no steps" in text
    assert "control rate = 12.5 Hz must be a whole number" in text
    assert "camera 'front' is 5 x 6, MPEG-4 takes even sides only (--images png)" in text
    assert not (tmp_path / "out").exists()


def test_lerobot_loads_it(takeovers, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    reason = (
        "lerobot is missing, and it needs other versions of torch and numpy: install it in an environment of its own"
    )
    module = pytest.importorskip("lerobot.datasets.lerobot_dataset", reason=reason, exc_type=ImportError)
    paths = sorted(takeovers.glob("*.h5"))
    export_lerobot(read_all(paths), tmp_path / "out", replace(OPTIONS, images="png"))
    data = module.LeRobotDataset("local/apo", root=tmp_path / "out")
    assert (data.num_episodes, data.num_frames, data.fps) == (4, 164, 20)
    episode = read_episode(paths[1])
    item = data[33 + 7]
    np.testing.assert_array_equal(item["action"].numpy(), episode.executed_actions[7])
    image = item["observation.images.wrist"].numpy().transpose(1, 2, 0) * 255
    np.testing.assert_allclose(image, episode.images["wrist"][7], atol=1e-3)
    assert item["task"] == "lift the red cube"
