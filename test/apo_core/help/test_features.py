"""What a chunk and those before it show of trouble, in numbers worked out by hand."""

import numpy as np
import pytest

from apo_core.contract.specs import ActionSpec
from apo_core.help.features import FEATURES, HelpFeatures
from apo_core.types import ActionChunk

PERIOD_NS = 100_000_000
ACTION = ActionSpec(tuple("abcdefg"), ("m/s",) * 7, (-1.0,) * 7, (1.0,) * 7)


def chunk(tick, speed=0.0, gripper=-1.0, entropies=(1.0, 3.0, 50.0, 50.0), log_probs=(-1.0, -2.0, -9.0, -9.0)):
    """Four rows along x; two of them are executed."""
    values = np.zeros((4, 7), np.float32)
    values[:, 0], values[:, 6] = speed, gripper
    return ActionChunk(
        observation_stamp_ns=tick * PERIOD_NS,
        period_ns=PERIOD_NS,
        values=values,
        log_probs=np.array(log_probs, np.float32),
        adapter_version=0,
        entropies=None if entropies is None else np.array(entropies, np.float32),
    )


def state(x=0.0, y=0.0):
    return {"ee_pose": np.array([x, y, 0.9, 0, 0, 0, 1], np.float32)}


def named(values):
    return dict(zip(FEATURES, values, strict=True))


@pytest.fixture
def features() -> HelpFeatures:
    return HelpFeatures(ACTION, rows=2)


def test_the_first_chunk_counts_as_followed_straight(features):
    found = named(features.add(chunk(0, speed=0.25), state(), continued=False))

    assert found == {
        "entropy": 2.0,
        "entropy_mean": 2.0,
        "surprise": 1.5,
        "disagreement": 0.0,
        "disagreement_mean": 0.0,
        "speed": 0.25,
        "commanded_speed": 0.25,
        "detour_speed": 0.0,
        "dwell_s": 0.0,
        "gripper_changes": 0.0,
    }


def test_common_rows_of_two_chunks_are_compared(features):
    features.add(chunk(0, speed=0.1), state(), continued=False)
    found = named(features.add(chunk(2, speed=0.8), state(), continued=True))

    # one of seven dimensions differs by 0.7
    assert found["disagreement"] == pytest.approx(0.1)
    assert found["disagreement_mean"] == pytest.approx(0.05)


def test_chunks_without_a_common_row_compare_end_and_beginning(features):
    features.add(chunk(0, speed=0.1), state(), continued=False)
    found = named(features.add(chunk(4, speed=0.8), state(), continued=True))

    assert found["disagreement"] == pytest.approx(0.1)


def test_the_way_is_compared_with_the_commands(features):
    features.add(chunk(0, speed=0.5), state(0.0), continued=False)
    features.add(chunk(2, speed=1.0), state(0.03, 0.04), continued=True)
    found = named(features.add(chunk(4), state(0.06, 0.0), continued=True))

    # 0.05 m there and 0.05 m back to 0.06 m, in 0.4 s; commanded 2 rows of 0.5 m/s and 2 of 1.0 m/s
    assert found["speed"] == pytest.approx(0.15)
    assert found["detour_speed"] == pytest.approx(0.1)
    assert found["commanded_speed"] == pytest.approx(0.75)


def test_the_window_forgets_what_is_older_than_it(features):
    features.add(chunk(0, entropies=(9.0,) * 4), state(0.0), continued=False)
    features.add(chunk(10, entropies=(2.0,) * 4), state(0.2), continued=True)
    found = named(features.add(chunk(20, entropies=(4.0,) * 4), state(0.3), continued=True))

    assert found["entropy_mean"] == pytest.approx(3.0)
    assert found["speed"] == pytest.approx(0.1)


def test_dwelling_lasts_as_long_as_the_hand_is_near(features):
    found = [
        named(features.add(chunk(tick), state(x), continued=tick > 0))["dwell_s"]
        for tick, x in ((0, 0.0), (2, 0.1), (4, 0.12), (40, 0.11), (42, 0.2))
    ]
    assert found == pytest.approx([0.0, 0.0, 0.2, 3.8, 0.0])


def test_each_change_of_the_gripper_counts(features):
    found = [
        named(features.add(chunk(2 * i, gripper=side), state(), continued=i > 0))["gripper_changes"]
        for i, side in enumerate((-1.0, 0.9, 1.0, 0.0, -0.5))
    ]
    assert found == [0.0, 1.0, 1.0, 1.0, 2.0]


def test_a_chunk_that_does_not_continue_is_a_first_one(features):
    features.add(chunk(0, speed=0.1), state(), continued=False)
    features.add(chunk(2, speed=0.9, gripper=1.0), state(0.3), continued=True)
    again = features.add(chunk(4, speed=0.25), state(0.5), continued=False)

    assert again.tolist() == HelpFeatures(ACTION, 2).add(chunk(4, speed=0.25), state(0.5), False).tolist()


def test_what_a_policy_or_robot_lacks_is_unknown(features):
    features.add(chunk(0, entropies=None), {}, continued=False)
    found = named(features.add(chunk(2, entropies=None), {}, continued=True))

    unknown = [name for name, value in found.items() if np.isnan(value)]
    assert unknown == ["entropy", "entropy_mean", "speed", "detour_speed", "dwell_s"]
