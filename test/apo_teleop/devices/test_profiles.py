"""Axis maps and button roles from lines of YAML."""

from pathlib import Path

import numpy as np
import pytest

from apo_core.config.parameters import build, read_ros_parameters
from apo_core.errors import ConfigError
from apo_teleop.devices.profiles import AxisMap, ProfileConfig, Profiles

CONFIG = Path(__file__).parents[3] / "config" / "teleop.yaml"
SHIPPED = Profiles(ProfileConfig())


def test_an_axis_map_swaps_flips_adds_and_drops():
    axes = AxisMap(("-y", "+x", "+z+rx", "none", "none", "-rz"))
    np.testing.assert_allclose(axes.apply([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), [-0.2, 0.1, 0.7, 0, 0, -0.6])
    assert axes.size == 6


def test_a_joystick_has_numbers_and_buttons():
    axes = AxisMap(("+1", "-5+2", "+b4-b5", "none", "none", "none"))
    assert axes.size == 6
    np.testing.assert_array_equal(axes.apply([0, 1, 0.5, 0, 0, 1], {4: 0, 5: 1}), [1, -0.5, -1, 0, 0, 0])
    np.testing.assert_array_equal(axes.apply([0, 0, 0, 0, 0, 0]), np.zeros(6))


@pytest.mark.parametrize("row", range(6))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_spacenav_is_in_rep_103_already(row, sign):
    axes = np.zeros(6)
    axes[row] = sign
    np.testing.assert_array_equal(SHIPPED.get("spacenav", 6).axes.apply(axes), axes)


@pytest.mark.parametrize(
    ("preset", "axis", "row"),
    [
        # sensor_msgs/Joy of joy and game_controller: up and left of a stick are positive
        ("gamepad", 1, 0),  # left stick up: forward
        ("gamepad", 0, 1),  # left stick left: left
        ("gamepad", 3, 2),  # right stick up: up
        ("gamepad", 2, 5),  # right stick left: turn left
        ("xpad", 1, 0),
        ("xpad", 0, 1),
        ("xpad", 4, 2),
        ("xpad", 3, 5),
        ("xpad", 7, 4),  # cross up: tip forward
    ],
)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_sticks_of_the_gamepads(preset, axis, row, sign):
    axes = np.zeros(8)
    axes[axis] = sign
    expected = np.zeros(6)
    expected[row] = sign
    np.testing.assert_array_equal(SHIPPED.get(preset, 8).axes.apply(axes), expected)


def test_the_cross_of_the_gamepads():
    gamepad, xpad = SHIPPED.get("gamepad", 6).axes, SHIPPED.get("xpad", 8).axes
    rest = [0.0] * 6
    for button, expected in ((14, [1, 0]), (13, [-1, 0]), (11, [0, 1]), (12, [0, -1])):
        np.testing.assert_array_equal(gamepad.apply(rest, {button: 1})[3:5], expected)
    np.testing.assert_array_equal(xpad.apply([0, 0, 0, 0, 0, 0, -1.0, 0])[3:5], [1, 0])  # right: tip to the right


def test_triggers_that_rest_at_one_move_nothing():
    np.testing.assert_array_equal(SHIPPED.get("xpad", 8).axes.apply([0, 0, 1, 0, 0, 1, 0, 0]), np.zeros(6))


def test_a_model_without_a_line_has_the_default_ones():
    profile = SHIPPED.get("SpacePilot", 6)
    np.testing.assert_array_equal(profile.axes.apply([0, -1, 0, 0, 0, 0]), [1, 0, 0, 0, 0, 0])
    assert profile.roles["BTN_1"] == "gripper_toggle" and profile.roles["ESC"] == "estop"
    assert SHIPPED.get("UniversalReceiver", 6).roles["FIT"] == "hand_back"
    assert SHIPPED.has("gamepad") and not SHIPPED.has("SpacePilot")


def test_without_a_default_an_unknown_model_is_an_error():
    profiles = Profiles(ProfileConfig(axis_maps=("mine: +x +y +z none none none",), button_roles=()))
    assert profiles.get("mine", 6).roles == {}
    with pytest.raises(ConfigError, match="neither a line 'other' nor one 'default'"):
        profiles.get("other", 6)


def test_an_axis_that_the_device_lacks_is_an_error():
    with pytest.raises(ConfigError, match="gamepad: names axis 3, but the last one is 1"):
        SHIPPED.get("gamepad", 2)


def test_the_shipped_file_has_the_defaults_of_the_code():
    values = read_ros_parameters(CONFIG, "teleop")
    lines = {name: values[name] for name in ("axis_maps", "button_roles")}
    assert build(ProfileConfig, lines, "file") == ProfileConfig()


def test_every_fault_is_named():
    with pytest.raises(ConfigError) as error:
        ProfileConfig(
            axis_maps=("no colon", "a: +x +y", "a: +x", "b: +x +y +z +rx +ry up", "two words: +x +y +z +rx +ry +rz"),
            button_roles=("a: 0=fly", "b: estop", "c: =clear"),
        )
    assert error.value.faults[0] == "axis_maps: 'no colon' is not 'name: entries'"
    assert error.value.faults[1] == "axis_maps: a is there twice"
    assert error.value.faults[2] == "axis_maps: 'two words: +x +y +z +rx +ry +rz' is not 'name: entries'"
    assert "a: '+x +y' must be six" in error.value.faults[3]
    assert "b: '+x +y +z +rx +ry up' must be six" in error.value.faults[4]
    assert [fault.split("'")[1] for fault in error.value.faults[5:]] == ["0=fly", "estop", "=clear"]
    assert "config/teleop.yaml" in str(error.value)
