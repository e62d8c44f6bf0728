import pytest

from apo_core.errors import ConfigError
from apo_teleop.outputs.gripper_goals import GripperActionConfig, GripperGoals

CONFIG = GripperActionConfig(smallest_change=0.002, largest_rate_hz=5.0)
TENTH = 100_000_000  # ns


def test_the_first_position_and_each_that_differs_becomes_a_goal():
    goals = GripperGoals(CONFIG)
    stream = [0.04, 0.04, 0.0395, 0.0, 0.0, 0.04]
    assert [goals.goal(position, i * 3 * TENTH) for i, position in enumerate(stream)] == [
        0.04,
        None,
        None,
        0.0,
        None,
        0.04,
    ]


def test_a_change_too_soon_becomes_a_goal_later():
    goals = GripperGoals(CONFIG)
    assert goals.goal(0.04, 10 * TENTH) == 0.04
    assert goals.goal(0.0, 11 * TENTH) is None
    assert goals.goal(0.0, 12 * TENTH) == 0.0


def test_a_goal_that_was_not_accepted_is_sent_again():
    goals = GripperGoals(CONFIG)
    goals.goal(0.04, 10 * TENTH)
    goals.failed()
    assert goals.goal(0.04, 11 * TENTH) is None
    assert goals.goal(0.04, 12 * TENTH) == 0.04


@pytest.mark.parametrize("position", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_goal(position):
    assert GripperGoals(CONFIG).goal(position, 0) is None


@pytest.mark.parametrize(("name", "value"), [("action", ""), ("command_topic", "2nd")])
def test_an_invalid_name_is_rejected(name, value):
    with pytest.raises(ConfigError, match=f"{name} = '{value}' must be a topic's name"):
        GripperActionConfig(**{name: value})
