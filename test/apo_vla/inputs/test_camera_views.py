import numpy as np
import pytest

from apo_core.errors import ObservationError
from apo_vla.inputs.camera_views import CameraViews, view_faults

FRONT = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
WRIST = FRONT + 100


def test_pictures_come_in_the_models_order_as_they_are():
    first, second = CameraViews(("wrist", "front")).take({"front": FRONT, "wrist": WRIST})
    np.testing.assert_array_equal(first, WRIST)
    np.testing.assert_array_equal(second, FRONT)


def test_each_camera_is_turned_by_itself():
    views = CameraViews(("front", "wrist"), ("rotate_180", "mirror"))
    first, second = views.take({"front": FRONT, "wrist": WRIST})
    np.testing.assert_array_equal(first, FRONT[::-1, ::-1])
    np.testing.assert_array_equal(second, WRIST[:, ::-1])


def test_blue_may_come_first():
    (picture,) = CameraViews(("front",), channel_order="bgr").take({"front": FRONT})
    assert picture[0, 0].tolist() == [2, 1, 0]


def test_a_part_is_taken_before_it_is_turned():
    wide = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    views = CameraViews(("front", "wrist"), ("mirror", "none"), crop=("0,0,1,0.5", "square"))
    first, second = views.take({"front": wide, "wrist": wide})
    np.testing.assert_array_equal(first, wide[:, 1::-1])
    np.testing.assert_array_equal(second, wide[:, 1:3])
    assert not views.is_plain and CameraViews(("front",), crop=("none",)).is_plain


def test_a_missing_camera_is_named():
    with pytest.raises(ObservationError, match=r"images \['wrist'\] are missing"):
        CameraViews(("front", "wrist")).take({"front": FRONT})


@pytest.mark.parametrize(
    ("orientation", "order", "plain"),
    [((), "rgb", True), (("none",), "rgb", True), (("mirror",), "rgb", False), ((), "bgr", False)],
)
def test_what_is_plain(orientation, order, plain):
    assert CameraViews(("front",), orientation, order).is_plain is plain


def test_faults_of_a_deployment_are_named():
    assert view_faults(("front", "wrist"), ()) == view_faults(("front",), ("mirror",)) == []
    assert view_faults(("front", "wrist"), ("left",)) == [
        "orientation = ['left']: 'left' is none of none, flip_vertical, mirror, rotate_180",
        "orientation = ['left'] must be empty, or one for each of cameras = ['front', 'wrist']",
    ]
    assert view_faults(("front",), (), ("whole", "none")) == [
        "crop = ['whole', 'none']: 'whole' is none of none, square (the largest one in the middle) or "
        "TOP,LEFT,HEIGHT,WIDTH as shares of 0..1",
        "crop = ['whole', 'none'] must be empty, or one for each of cameras = ['front']",
    ]
