"""Pictures of cameras as JPEG: the newest, and only while somebody looks."""

import threading

import cv2
import numpy as np

from apo_console.cameras import CameraEncoder
from apo_console.jpeg import encode


def decoded(jpeg):
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def test_colours_and_size_stay():
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32, 0] = 250
    found = decoded(encode(image, 90, 640))
    assert found.shape == (48, 64, 3)
    assert found[20, 10, 0] > 230 and found[20, 10, 2] < 20 and found[20, 50].max() < 20


def test_wide_pictures_are_shrunk():
    assert decoded(encode(np.zeros((480, 1280, 3), np.uint8), 80, 640)).shape == (240, 640, 3)


def test_depth_is_shown_from_near_to_far():
    depth = np.full((20, 40, 1), 500, np.uint16)
    depth[:, 20:] = 3000
    found = decoded(encode(depth, 95, 640))
    assert found[10, 5].max() < 10 and found[10, 35].min() > 245
    assert decoded(encode(np.full((4, 4), 7, np.uint16), 95, 640)).max() == 0


class Screen:
    """What a page would receive."""

    def __init__(self):
        self.frames, self.news, self.looks = [], threading.Condition(), True

    def offer(self, *frame):
        with self.news:
            self.frames.append(frame)
            self.news.notify_all()

    def until(self, count):
        with self.news:
            assert self.news.wait_for(lambda: len(self.frames) >= count, 20.0)


def test_each_camera_counts_its_frames_and_keeps_their_stamps():
    screen = Screen()
    encoder = CameraEncoder(80, 640, lambda: screen.looks, screen.offer)
    image = np.zeros((8, 8, 3), np.uint8)
    for count, (camera, stamp) in enumerate(((0, 10), (1, 11), (0, 12)), 1):
        encoder.put(0, camera, stamp, image)
        screen.until(count)
    encoder.close()
    assert [frame[:4] for frame in screen.frames] == [(0, 0, 1, 10), (0, 1, 1, 11), (0, 0, 2, 12)]


def test_nothing_is_encoded_while_nobody_looks():
    screen = Screen()
    screen.looks = False
    encoder = CameraEncoder(80, 640, lambda: screen.looks, screen.offer)
    encoder.put(0, 0, 1, np.zeros((8, 8, 3), np.uint8))
    screen.looks = True
    encoder.put(0, 1, 2, np.zeros((8, 8, 3), np.uint8))
    screen.until(1)
    encoder.close()
    assert [frame[:4] for frame in screen.frames] == [(0, 1, 1, 2)]
