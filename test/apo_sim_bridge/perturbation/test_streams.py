"""Frames that arrive late or never, and commands that are executed late."""

import numpy as np
import pytest

from apo_sim_bridge.perturbation.settings import StreamPerturbation
from apo_sim_bridge.perturbation.streams import CommandLink, FrameLink, arrival_ages

CAMERAS = ("agentview", "wrist")


def whole(streams, steps, seed=0):
    """Step -> newest whole frame that arrives in it; a frame is the step in which it was taken."""
    link = FrameLink(streams, CAMERAS, seed)
    found = {}
    for step in range(steps):
        link.send(step, step)
        frame = link.newest_whole(step)
        if frame is not None:
            found[step] = frame
    return found


def test_without_perturbation_frames_arrive_at_once():
    assert whole(StreamPerturbation(), 5) == {step: step for step in range(5)}


def test_a_fixed_delay_shifts_every_frame():
    assert whole(StreamPerturbation(observation_delay_steps=(3, 3)), 7) == {3: 0, 4: 1, 5: 2, 6: 3}


def test_jitter_keeps_the_order_and_its_bounds():
    found = whole(StreamPerturbation(observation_delay_steps=(1, 4)), 300)
    frames = list(found.values())
    assert frames == sorted(set(frames))
    ages = {step - frame for step, frame in found.items()}
    assert ages == {1, 2, 3, 4}


def test_images_of_a_camera_arrive_once_and_in_order():
    link = FrameLink(StreamPerturbation(observation_delay_steps=(0, 5)), CAMERAS, 4)
    arrived = {camera: [] for camera in CAMERAS}
    for step in range(200):
        link.send(step, step)
        for frame, cameras in link.arrived(step):
            assert 0 <= step - frame <= 5
            for camera in cameras:
                arrived[camera].append(frame)
    for frames in arrived.values():
        assert frames == sorted(set(frames)) and len(frames) >= 195


@pytest.mark.parametrize(("probability", "burst"), [(0.2, (1, 1)), (0.05, (4, 4)), (1.0, (1, 1))])
def test_frames_are_lost_in_bursts(probability, burst):
    link = FrameLink(StreamPerturbation(frame_drop_probability=probability, frame_drop_burst=burst), CAMERAS[:1], 1)
    came = []
    for step in range(2000):
        link.send(step, step)
        came.append(bool(link.arrived(step)))
    gaps = np.diff(np.flatnonzero([True, *came, True])) - 1
    lost = gaps[gaps > 0]
    assert lost.sum() == came.count(False)
    if probability == 1.0:
        assert not any(came)
    else:
        assert (lost[:-1] % burst[0] == 0).all()  # bursts may follow each other
        share = probability * burst[0] / (1 - probability + probability * burst[0])
        assert came.count(False) / len(came) == pytest.approx(share, abs=0.05)


def test_a_frame_with_a_lost_image_is_not_whole():
    # of two cameras, each of which keeps 0.7 of its frames
    assert len(whole(StreamPerturbation(frame_drop_probability=0.3), 500)) / 500 == pytest.approx(0.49, abs=0.06)


def test_the_same_seed_loses_and_delays_the_same():
    streams = StreamPerturbation(observation_delay_steps=(0, 3), frame_drop_probability=0.1, frame_drop_burst=(1, 4))
    assert whole(streams, 100, seed=5) == whole(streams, 100, seed=5) != whole(streams, 100, seed=6)


def test_commands_are_executed_after_their_delay():
    link = CommandLink(StreamPerturbation(action_delay_steps=(2, 2)), 0, "still")
    assert [link.through(step, step) for step in range(5)] == ["still", "still", 0, 1, 2]


def test_commands_do_not_overtake_each_other():
    link = CommandLink(StreamPerturbation(action_delay_steps=(0, 4)), 3, -1)
    executed = [link.through(step, step) for step in range(300)]
    assert executed == sorted(executed)
    assert {step - command for step, command in enumerate(executed) if command >= 0} == {0, 1, 2, 3, 4}


def test_ages_are_those_of_what_has_arrived():
    assert arrival_ages(StreamPerturbation(), CAMERAS, 4, 0).tolist() == [0, 0, 0, 0]
    assert arrival_ages(StreamPerturbation(observation_delay_steps=(2, 2)), CAMERAS, 5, 0).tolist() == [-1, -1, 2, 2, 2]
    lossy = StreamPerturbation(frame_drop_probability=1.0)
    assert arrival_ages(lossy, CAMERAS, 3, 0).tolist() == [-1, -1, -1]
