import numpy as np
import pytest

from apo_core.errors import EpisodeToolError
from apo_episodes.formats.robomimic.mapping import STATE, StateMapping, choose_mapping, turned_poses

OBS = {
    "robot0_eef_pos": np.array([[1, 2, 3], [4, 5, 6]], np.float64),
    "robot0_eef_quat": np.array([[0, 0, 0, 1], [1, 0, 0, 0]], np.float64),
    "robot0_gripper_qpos": np.array([[0.04, -0.03], [0.01, -0.01]]),
    "scalar": np.array([7.0, 8.0]),
    "turn": np.array([[0, 0, np.pi, 9], [0, -3 * np.pi, 0, 9]]),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("robot0_eef_pos", [[1, 2, 3], [4, 5, 6]]),
        ("robot0_eef_pos[2]", [[3], [6]]),
        ("robot0_eef_pos[0:2]", [[1, 2], [4, 5]]),
        ("robot0_eef_pos[1] , scalar", [[2, 7], [5, 8]]),
        ("robot0_gripper_qpos[0]-robot0_gripper_qpos[1]", [[0.07], [0.02]]),
        ("scalar - robot0_eef_pos[0]", [[6], [4]]),
        ("scalar, quaternion(turn[0:3])", [[7, 0, 0, 1, 0], [8, 0, 1, 0, 0]]),
        (STATE["ee_pose"][1], [[1, 2, 3, 0, 0, 0, 1], [4, 5, 6, 1, 0, 0, 0]]),
    ],
)
def test_values(text, expected):
    values = StateMapping("x", text).values(OBS.__getitem__)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, np.array(expected), atol=1e-7)


@pytest.mark.parametrize(
    ("asked", "there", "chosen"),
    [
        (None, ["robot0_eef_pos", "robot0_eef_quat", "robot0_eef_quat_site"], "robot0_eef_pos,robot0_eef_quat_site"),
        (None, ["robot0_eef_pos", "robot0_eef_quat"], "robot0_eef_pos,robot0_eef_quat"),
        (None, [], "robot0_eef_pos,robot0_eef_quat"),
        ("pose", ["robot0_eef_pos", "robot0_eef_quat"], "pose"),
    ],
)
def test_the_usual_keys_are_found(asked, there, chosen):
    assert choose_mapping("ee_pose", asked, there).text == chosen


def test_a_key_without_a_usual_mapping_is_looked_for_under_its_name():
    assert choose_mapping("tactile", None, []).keys == ("tactile",)


def test_poses_are_turned_in_their_own_frame():
    half = 0.5**0.5
    # x to y seen from above, then a quarter turn about the new x axis
    poses = np.array([[1, 2, 3, 0, 0, half, half], [1, 2, 3, 0, 0, -half, -half]], np.float32)
    turned = turned_poses(poses, (half, 0, 0, half))
    np.testing.assert_allclose(turned, [[1, 2, 3, 0.5, 0.5, 0.5, 0.5]] * 2, atol=1e-6)
    assert turned.dtype == np.float32


def test_a_turn_by_nothing_keeps_the_rotation_and_makes_it_canonical():
    poses = np.array([[0, 0, 0, 0, -0.6, 0, -0.8], [0, 0, 0, 0, 2, 0, 0]], np.float32)
    turned = turned_poses(poses, (0, 0, 0, 1))
    np.testing.assert_allclose(turned[:, 3:], [[0, 0.6, 0, 0.8], [0, 1, 0, 0]], atol=1e-6)


def test_a_quaternion_needs_three_columns():
    with pytest.raises(EpisodeToolError, match=r"--state x=quaternion\(turn\): .* of \(2, 4\), expected \(T, 3\)"):
        StateMapping("x", "quaternion(turn)").values(OBS.__getitem__)


def test_the_keys_it_needs():
    assert StateMapping("x", "a[0]-b,c").keys == ("a", "b", "c")


@pytest.mark.parametrize(
    "text", ["", "a,", "a+b", "a[", "a[-1]", "a[1:]", "a-b-c", "a b", "quaternion()", "quaternion(a-b)", "quaternion(a"]
)
def test_what_is_no_mapping_is_rejected(text):
    with pytest.raises(EpisodeToolError, match="--state x="):
        StateMapping("x", text)
