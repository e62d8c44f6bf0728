import io

from apo_bringup.console import Console
from apo_bringup.operator_view import OperatorView

REST = [0.0] * 7


def shown(live, *samples):
    stream = io.StringIO()
    view = OperatorView(Console(stream, live=live))
    for sample in samples:
        view.show(*sample)
    return stream.getvalue()


def test_coming_going_and_buttons_stay_on_lines_of_their_own():
    text = shown(
        False,
        ("spacemouse", False, False, REST, []),
        ("spacemouse", False, False, REST, []),
        ("spacemouse", True, False, REST, ["gripper_toggle", "estop"]),
        ("spacemouse", False, False, REST, []),
    )
    assert text == (
        "spacemouse: not connected\nspacemouse: connected\nbutton: gripper_toggle\nbutton: estop\n"
        "spacemouse: not connected\n"
    )


def test_motion_is_a_live_line():
    text = shown(True, ("joy", True, True, [0.4, -0.1, 0, 0, 0, -1.5, 0], []))
    assert text.endswith("moves  vx +0.40  vy -0.10  vz +0.00  wx +0.00  wy +0.00  wz -1.50  (m/s, rad/s)")
    assert "rests" in shown(True, ("joy", True, False, REST, []))
