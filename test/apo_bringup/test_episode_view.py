import cv2
import numpy as np
import pytest

from apo_bringup.episode_view import COLOURS, contact_sheet, draw_step, write_contact_sheet, write_video
from apo_core.contract import contract_from_dict
from apo_core.episode_file import EpisodeWriter, read_episode
from apo_core.labeling import LabelRule
from apo_core.types import (
    ControlSource,
    EpisodeInfo,
    EpisodeKind,
    EpisodeOutcome,
    Observation,
    Outcome,
    Step,
    StepLabel,
)

CONTRACT = contract_from_dict(
    {
        "version": 1,
        "rate_hz": 20.0,
        "frame_id": "base",
        "tolerance_s": 0.02,
        "max_age_s": 0.5,
        "images": {"front": {"topic": "front", "height": 12, "width": 16, "encoding": "rgb8"}},
        "state": {"ee_pose": {"topic": "p", "type": "geometry_msgs/msg/PoseStamped", "size": 7, "unit": "m"}},
        "action": {"names": list("abcdefg"), "units": ["1"] * 7, "low": [-1] * 7, "high": [1] * 7},
        "limits": {"linear_speed": 1, "angular_speed": 1, "workspace_low": [-1] * 3, "workspace_high": [1] * 3},
    },
    "test",
)
RULE = LabelRule(undesirable_steps=2)


@pytest.fixture
def episode(tmp_path):
    info = EpisodeInfo("e", EpisodeKind.INTERACTION, "Lift", "lift", 0, "x", CONTRACT.json, "2026-01-01T00:00:00Z")
    writer = EpisodeWriter(tmp_path, info, CONTRACT)
    for i in range(30):
        source = ControlSource.HUMAN if 17 <= i < 22 else ControlSource.POLICY
        image = np.full((12, 16, 3), i, np.uint8)
        observation = Observation(i, {"front": image}, {"ee_pose": np.zeros(7, np.float32)}, "lift")
        writer.append(Step(i, observation, np.zeros(7, np.float32), None, None, source, "r", 0, i, 0, i))
    return read_episode(writer.finish(EpisodeOutcome(Outcome.SUCCESS, "t", True, False)))


@pytest.mark.parametrize("index", [3, 18])
def test_the_border_shows_who_drove(episode, index):
    frame = draw_step(episode, index, episode.labels(RULE)[index])
    assert tuple(frame[-1, 0]) == COLOURS[episode.sources[index]]


def test_undesirable_steps_have_a_border_of_their_own(episode):
    assert episode.labels(RULE)[16] == StepLabel.UNDESIRABLE
    colour = tuple(draw_step(episode, 16, StepLabel.UNDESIRABLE)[-1, 0])
    assert colour not in COLOURS.values()


def test_the_contact_sheet_shows_the_takeover(episode):
    sheet = contact_sheet(episode, RULE, columns=3, rows=2)
    frame = draw_step(episode, 17, StepLabel.CORRECTED)
    height, width, _ = frame.shape
    tiles = [
        sheet[y : y + height, x : x + width]
        for y in range(0, sheet.shape[0], height)
        for x in range(0, sheet.shape[1], width)
    ]
    assert len(tiles) == 6
    assert any((tile == frame).all() for tile in tiles)


def test_files_open_again(episode, tmp_path):
    write_contact_sheet(episode, RULE, tmp_path / "sheet.png")
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None
    write_video(episode, RULE, tmp_path / "episode.mp4")
    video = cv2.VideoCapture(str(tmp_path / "episode.mp4"))
    assert (video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)) == (30, 20)
