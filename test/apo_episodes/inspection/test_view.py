import cv2
import numpy as np
import pytest
from small_contract import contract_data

from apo_core.contract.contract import contract_from_dict
from apo_core.errors import EpisodeToolError
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
from apo_episodes.inspection.view import COLOURS, as_rgb, contact_sheet, draw_step, write_contact_sheet, write_video
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode
from apo_episodes.writer import EpisodeWriter

CONTRACT = contract_from_dict(
    contract_data(
        rate_hz=20.0,
        images={"front": {"topic": "front", "height": 12, "width": 16, "encoding": "rgb8"}},
        state={"ee_pose": {"topic": "p", "type": "geometry_msgs/msg/PoseStamped", "size": 7, "unit": "m"}},
    ),
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


def draw(episode, index, label, is_takeover=False):
    views = {name: frames[index] for name, frames in episode.images.items()}
    return draw_step(views, index, episode.sources[index], label, is_takeover)


@pytest.mark.parametrize("index", [3, 18])
def test_the_border_shows_who_drove(episode, index):
    frame = draw(episode, index, episode.labels(RULE)[index])
    assert tuple(frame[-1, 0]) == COLOURS[episode.sources[index]]


def test_undesirable_steps_have_a_border_of_their_own(episode):
    assert episode.labels(RULE)[16] == StepLabel.UNDESIRABLE
    colour = tuple(draw(episode, 16, StepLabel.UNDESIRABLE)[-1, 0])
    assert colour not in COLOURS.values()


def test_the_contact_sheet_shows_the_takeover(episode):
    sheet = contact_sheet(episode, RULE, columns=3, rows=2)
    frame = draw(episode, 17, StepLabel.CORRECTED, is_takeover=True)
    height, width, _ = frame.shape
    tiles = [
        sheet[y : y + height, x : x + width]
        for y in range(0, sheet.shape[0], height)
        for x in range(0, sheet.shape[1], width)
    ]
    assert len(tiles) == 6
    assert any((tile == frame).all() for tile in tiles)


def test_the_label_and_the_takeover_are_written_on_the_frame():
    views = {"front": np.zeros((12, 16, 3), np.uint8)}
    frames = [
        draw_step(views, 5, ControlSource.POLICY, StepLabel.DESIRABLE),
        draw_step(views, 5, ControlSource.POLICY, StepLabel.UNUSED),
        draw_step(views, 5, ControlSource.POLICY, StepLabel.DESIRABLE, is_takeover=True),
    ]
    bars = [frame[:28].tobytes() for frame in frames]
    assert len(set(bars)) == 3


def test_grey_depth_and_wide_cameras_are_shown_side_by_side():
    views = {
        "grey": np.full((4, 4, 1), 7, np.uint8),
        "depth": np.array([[[0], [2000]], [[4000], [65535]]], np.uint16),
        "wide": np.zeros((10, 20, 3), np.uint8),
    }
    assert as_rgb(views["grey"])[0, 0].tolist() == [7, 7, 7]
    assert as_rgb(views["depth"])[:, :, 0].tolist() == [[0, 127], [255, 255]]
    frame = draw_step(views, 0, ControlSource.HOLD, StepLabel.UNUSED)
    assert frame.shape == (168 + 28 + 6, 168 + 168 + 336 + 12, 3)


def test_an_episode_without_steps_has_nothing_to_show(tmp_path):
    info = EpisodeInfo("e", EpisodeKind.INTERACTION, "Lift", "lift", 0, "x", CONTRACT.json, "2026-01-01T00:00:00Z")
    writer = EpisodeWriter(tmp_path, info, CONTRACT)
    empty = read_episode(writer.finish(EpisodeOutcome(Outcome.FAILURE, "t", True, False)))
    with pytest.raises(EpisodeToolError, match="no step to show"):
        write_video(empty, RULE, tmp_path / "v.mp4")
    with pytest.raises(EpisodeToolError, match="no step to show"):
        contact_sheet(empty, RULE)


def test_files_open_again(episode, tmp_path):
    write_contact_sheet(episode, RULE, tmp_path / "sheet.png")
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None
    write_video(episode, RULE, tmp_path / "episode.mp4")
    video = cv2.VideoCapture(str(tmp_path / "episode.mp4"))
    assert (video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)) == (30, 20)
