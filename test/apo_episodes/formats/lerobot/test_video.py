import cv2
import numpy as np
import pytest

from apo_episodes.formats.lerobot.video import RollingVideo, VideoPlace, encode_png

PATTERN = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"


def frames(count, level):
    return [np.full((16, 24, 3), level + index, np.uint8) for index in range(count)]


def record(folder, episodes, limit_bytes, chunks_size=1000):
    video = RollingVideo(folder, "cam", PATTERN, 10.0, limit_bytes, chunks_size)
    places = []
    for episode in episodes:
        video.begin()
        for frame in episode:
            video.write(frame)
        places.append(video.end())
    video.close()
    return places


def levels(path):
    video = cv2.VideoCapture(str(path))
    found = []
    while (read := video.read())[0]:
        found.append(float(read[1].mean()))
    return found


def test_episodes_follow_each_other_in_a_file(tmp_path):
    places = record(tmp_path, [frames(3, 20), frames(2, 200)], limit_bytes=10**9)
    assert places == [VideoPlace(0, 0, 0.0, 0.3), VideoPlace(0, 0, 0.3, 0.5)]
    path = tmp_path / "videos/cam/chunk-000/file-000.mp4"
    assert levels(path) == pytest.approx([20, 21, 22, 200, 201], abs=6)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == 10


def test_a_full_file_is_followed_by_another_and_a_full_folder_too(tmp_path):
    places = record(tmp_path, [frames(3, 0), frames(2, 90), frames(1, 200)], limit_bytes=1, chunks_size=2)
    assert places == [VideoPlace(0, 0, 0.0, 0.3), VideoPlace(0, 1, 0.0, 0.2), VideoPlace(1, 0, 0.0, 0.1)]
    names = ["chunk-000/file-000.mp4", "chunk-000/file-001.mp4", "chunk-001/file-000.mp4"]
    assert [len(levels(tmp_path / "videos/cam" / name)) for name in names] == [3, 2, 1]


def test_png_keeps_every_pixel():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    stored = cv2.imdecode(np.frombuffer(encode_png(image), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(stored[:, :, ::-1], image)
