import numpy as np
import pytest

from apo_core.observation_sync import ObservationSync

MS = 1_000_000
IMAGE = np.zeros((4, 6, 3), np.uint8)


def value(stamp_ms: int) -> np.ndarray:
    return np.array([stamp_ms], np.float32)


@pytest.fixture
def sync(small_contract):
    return ObservationSync(small_contract, "lift")


def feed(sync, *samples: tuple[str, int]) -> list[int]:
    """Stamps (ms) of the observations that the samples (stream, ms) complete."""
    emitted = []
    for name, stamp_ms in samples:
        observation = sync.add(name, stamp_ms * MS, IMAGE if name == "front" else value(stamp_ms))
        if observation is not None:
            emitted.append(observation.stamp_ns // MS)
    return emitted


def test_last_stream_completes_the_observation(sync):
    assert feed(sync, ("front", 100), ("ee_pose", 100)) == []
    observation = sync.add("width", 100 * MS, value(1))
    assert observation.stamp_ns == 100 * MS
    assert observation.instruction == "lift"
    assert set(observation.images) == {"front"} and set(observation.state) == {"ee_pose", "width"}


def test_every_tick_of_equal_stamps_is_emitted_once(sync):
    samples = [(name, stamp) for stamp in (100, 200, 300) for name in ("width", "front", "ee_pose")]
    assert feed(sync, *samples) == [100, 200, 300]


def test_burst_of_one_stream_skips_nothing(sync):
    assert feed(sync, ("front", 100), ("front", 200), ("ee_pose", 100), ("ee_pose", 200), ("width", 100)) == [100]
    assert feed(sync, ("width", 200)) == [200]


def test_tick_with_a_lost_sample_is_left_out(sync):
    samples = [("front", 100), ("ee_pose", 100), ("width", 100), ("ee_pose", 200), ("width", 200)]
    assert feed(sync, *samples, ("front", 300), ("ee_pose", 300), ("width", 300)) == [100, 300]


def test_faster_stream_gives_its_nearest_sample(sync):
    feed(sync, ("ee_pose", 90), ("ee_pose", 98), ("ee_pose", 106), ("width", 100))
    observation = sync.add("front", 100 * MS, IMAGE)
    assert observation.stamp_ns == 100 * MS
    assert observation.state["ee_pose"].tolist() == [98.0]


def test_samples_beyond_the_tolerance_make_no_observation(sync):
    assert feed(sync, ("front", 100), ("ee_pose", 121), ("width", 100)) == []
    assert feed(sync, ("front", 200), ("ee_pose", 219), ("width", 200)) == [200]


def test_repeated_and_older_samples_are_counted_and_dropped(sync):
    feed(sync, ("front", 100), ("ee_pose", 100), ("width", 100))
    assert feed(sync, ("front", 100), ("front", 50), ("ee_pose", 100)) == []
    assert sync.out_of_order == {"front": 2, "ee_pose": 1, "width": 0}


def test_stream_with_one_wrong_stamp_ahead_flows_again(sync):
    feed(sync, ("front", 100), ("ee_pose", 100), ("width", 100))
    samples = [(name, stamp) for stamp in (200, 300) for name in ("front", "ee_pose", "width")]
    assert feed(sync, ("front", 60_000), *samples) == [200, 300]
    assert sync.out_of_order == {"front": 1, "ee_pose": 0, "width": 0}


def test_clock_that_was_set_back_is_followed(sync):
    names = ("front", "ee_pose", "width")
    assert feed(sync, *((name, 60_000) for name in names)) == [60_000]
    assert feed(sync, *((name, stamp) for stamp in (100, 200) for name in names)) == [100, 200]
    assert sync.out_of_order == {"front": 1, "ee_pose": 1, "width": 1}


def test_step_back_of_a_second_is_still_out_of_order(sync):
    names = ("front", "ee_pose", "width")
    feed(sync, *((name, 2000) for name in names))
    assert feed(sync, *((name, 1000) for name in names)) == []
    assert feed(sync, *((name, 2100) for name in names)) == [2100]


def test_late_sample_after_a_wrong_stamp_repeats_no_observation(sync):
    names = ("front", "ee_pose", "width")
    feed(sync, *((name, stamp) for stamp in (100, 200) for name in names))
    assert feed(sync, ("front", 60_000), ("front", 100), ("front", 200)) == []
    assert feed(sync, *((name, 300) for name in names)) == [300]


def test_unknown_stream_is_an_error(sync):
    with pytest.raises(KeyError):
        sync.add("torque", 1, value(1))


def test_an_observation_holds_stamp_and_arrival_of_its_parts(sync):
    sync.add("front", 98 * MS, IMAGE, 7)
    sync.add("ee_pose", 100 * MS, value(1), 8)
    observation = sync.add("width", 101 * MS, value(1), 9)
    assert observation.stamp_ns == 98 * MS
    assert observation.header_stamps_ns == {"front": 98 * MS, "ee_pose": 100 * MS, "width": 101 * MS}
    assert observation.receive_ns == {"front": 7, "ee_pose": 8, "width": 9}


def test_a_late_camera_beside_joints_at_1_khz_makes_exact_observations(small_contract):
    sync, emitted = ObservationSync(small_contract), []
    for now_ms in range(1000, 1500):
        sync.add("width", now_ms * MS, value(now_ms))
        sync.add("ee_pose", now_ms * MS, value(now_ms))
        if now_ms % 50 == 0:
            observation = sync.add("front", (now_ms - 150) * MS, IMAGE)
            emitted += (
                [] if observation is None else [(observation.stamp_ns // MS, observation.state["width"].tolist())]
            )
    assert emitted == [(ms, [ms]) for ms in (1000, 1050, 1100, 1150, 1200, 1250, 1300)]
